//! What is written, and what comes of it.

use super::*;

fn merged(toml: &str, args: &RunArgs) -> Result<Config, SetupError> {
    let path = Path::new("edge.toml");
    Config::merge(args, shared_runtime::config::parse(toml, path)?)
}

fn refused(toml: &str) -> String {
    merged(toml, &RunArgs::default()).expect_err("refused").to_string()
}

#[test]
fn an_argument_wins_over_the_file() {
    let toml = "id = 'file'\ntasks_max = 3\nregion = 'north'\n[labels]\na = '1'\nb = '1'\n";
    let args = RunArgs {
        id: Some("argument".parse().expect("id")),
        labels: vec![("b".to_owned(), "2".to_owned())],
        ..RunArgs::default()
    };
    let config = merged(toml, &args).expect("config");
    assert_eq!(config.id.as_str(), "argument");
    let facts = &config.base_facts;
    assert_eq!((facts.tasks_max, facts.region.as_deref()), (3, Some("north")));
    assert_eq!((facts.labels["a"].as_str(), facts.labels["b"].as_str()), ("1", "2"));
}

#[test]
fn nothing_written_is_enough() {
    let config = merged("", &RunArgs::default()).expect("config");
    assert_eq!(config.broker, BrokerUrl::local());
    assert!(config.tls.is_none() && config.broker_user.is_none() && config.join_token.is_none());
    let facts = config.facts(&HostFacts::of(Path::new("/")));
    assert!(facts.capacity.cpu_millis >= 1_000);
    assert_eq!(facts.labels["arch"], facts.arch);
    assert_eq!(facts.runtimes, ["exec", "noop"]);
}

#[test]
fn every_mistake_says_where_it_is_and_what_to_write() {
    for (toml, expected) in [
        ("[broker]\nurl = 'x'\n", "mqtt://"),
        ("[brokr]\n", "did you mean `broker`?"),
        ("[capacity]\ncpu_milis = 1\n", "did you mean `cpu_millis`?"),
        ("[position]\nlatitude = 91\nlongitude = 0\n", "line 1"),
        ("tasks_max = 0\n", "tasks_max: write 1 to 20000"),
        ("[labels]\n'a b' = '1'\n", "a label key must be"),
        ("[broker]\nusername = 'x'\n", "password_file"),
        ("[broker]\ncertificate_file = 'x'\n", "key_file"),
        ("[broker]\nca_file = 'x'\n", "mqtts://"),
        ("[limits]\nheld_max = 0\n", "held_max must be at least 1"),
        ("[limits]\ninventory_part = 1001\n", "inventory_part must be 1 to 1000"),
        ("join_token_file = '/nonexistent/token'\n", "/nonexistent/token"),
        ("output_tail_bytes = 1000000\n", "at most 16384"),
        ("[disk]\nbalast_mib = 1\n", "did you mean `ballast_mib`?"),
        ("[disk]\nballast_mib = 1025\n", "disk.ballast_mib: at most 1024"),
        ("[flash]\nbytes_per_day = 5\n", "flash.bytes_per_day: at least 1048576, or 0"),
        ("[logs]\nattempt_bytes_max = 5\n", "attempt_bytes_max must be at least 1024, or 0"),
        ("[logs]\nbytes_max = 5\n", "bytes_max must be at least attempt_bytes_max (1048576)"),
        ("[logs]\nkeep_hours = 0\n", "keep_hours must be 1 to 8784"),
    ] {
        let error = refused(toml);
        assert!(error.contains(expected), "{toml}: {error}");
    }
}

#[test]
fn the_file_that_is_shipped_is_read_and_says_the_defaults() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/edge.toml"));
    let text = std::fs::read_to_string(path).expect("configs/edge.toml");
    let shipped = merged(&text, &RunArgs::default()).expect("as shipped");
    let nothing = merged("", &RunArgs::default()).expect("nothing");
    assert_eq!(format!("{shipped:?}"), format!("{nothing:?}"));
    // Every key that is commented out is one that exists.
    let uncommented: String = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    let file: FileConfig = shared_runtime::config::parse(&uncommented, path).expect("every key");
    assert_eq!(file.limits.held_max, Settings::default().held_max);
    assert!(file.disk.ballast_mib.is_some() && file.flash.bytes_per_day.is_some());
    assert!(file.logs.keep_hours.is_some() && file.logs.bytes_max.is_some());
    assert!(file.position.is_some() && file.broker.username.is_some() && file.id.is_some());
}

#[test]
fn a_path_in_the_file_is_seen_from_the_folder_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("edge.toml");
    std::fs::write(&path, "data = 'here'\nposition_file = '/run/position'\n").expect("write");
    let config = Config::of(&RunArgs { config: Some(path), ..RunArgs::default() }).expect("read");
    assert_eq!(config.data, folder.path().join("here"));
    assert_eq!(config.position_file.as_deref(), Some(Path::new("/run/position")));
}

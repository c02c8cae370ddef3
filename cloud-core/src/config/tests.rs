//! The sources, their order, and what is refused.

use super::*;

fn file(text: &str) -> (tempfile::TempDir, Overrides) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("cloud.toml");
    std::fs::write(&path, text).expect("write");
    let overrides = Overrides { config: Some(path), ..Overrides::default() };
    (folder, overrides)
}

fn resolve(text: &str) -> Result<Config, ConfigProblem> {
    let (_folder, overrides) = file(text);
    Config::resolve(overrides, Overrides::default())
}

fn refused(text: &str) -> String {
    resolve(text).expect_err("refused").to_string()
}

#[test]
fn nothing_at_all_is_a_configuration() {
    let config = Config::with_data(Path::new("/d")).expect("defaults");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store_path, Path::new("/d/core.db"));
    assert_eq!(config.join_token_file, Path::new("/d/join-token"));
    assert!(config.join_token_made);
    let BrokerChoice::Embedded(broker) = config.broker else { panic!("external") };
    assert_eq!(broker.listen.expect("plain").to_string(), "127.0.0.1:1883");
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let text = "data = 'from-file'\n[http]\nlisten = '127.0.0.1:1'\n[log]\nlevel = 'warn'\n\
                [broker]\nlisten = '127.0.0.1:11'\n";
    let (folder, overrides) = file(text);
    let none = Overrides::default;
    let config = Config::resolve(overrides.clone(), none()).expect("file");
    assert_eq!(config.http.listen.port(), 1);
    assert_eq!(config.data, folder.path().join("from-file"), "seen from the file's folder");
    assert_eq!(config.log_level, Level::Warn);
    let environment = Overrides::from_environment(|name| match name {
        "AMBIT_LISTEN" => Some("127.0.0.1:2".to_owned()),
        "AMBIT_LOG" => Some("debug".to_owned()),
        "AMBIT_DATA" => Some(String::new()),
        "AMBIT_BROKER" => Some("mqtt://elsewhere".to_owned()),
        _ => None,
    });
    let config = Config::resolve(overrides.clone(), environment.clone()).expect("environment");
    assert_eq!((config.http.listen.port(), config.log_level), (2, Level::Debug));
    assert!(config.data.ends_with("from-file"), "an empty variable says nothing");
    assert!(matches!(config.broker, BrokerChoice::External(_)));
    let flags = Overrides {
        listen: Some("localhost:3".to_owned()),
        data: Some("from-flag".into()),
        broker: Some("127.0.0.1:0".to_owned()),
        ..overrides
    };
    let config = Config::resolve(flags, environment).expect("flags");
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:3");
    assert_eq!(config.data, Path::new("from-flag"), "seen from where the program was started");
    assert!(matches!(config.broker, BrokerChoice::Embedded(_)));
}

#[test]
fn a_wrong_value_names_its_source() {
    let listen = |text: &str| Some(text.to_owned());
    let flags = Overrides { listen: listen("8080"), ..Overrides::default() };
    let error = Config::resolve(flags, Overrides::default()).expect_err("refused").to_string();
    assert_eq!(
        error,
        "--listen: `8080` is not an address; write ADDRESS:PORT, such as 127.0.0.1:8080"
    );
    let environment = Overrides { log: Some("loud".to_owned()), ..Overrides::default() };
    let error = Config::resolve(Overrides::default(), environment).expect_err("refused");
    assert!(error.to_string().starts_with("AMBIT_LOG: `loud` is not a log level"), "{error}");
}

#[test]
fn a_wrong_key_names_the_right_one() {
    let error = refused("[http]\nlisten = '127.0.0.1:1'\n[brokr]\n");
    assert!(error.contains("line 3") && error.contains("did you mean `broker`?"), "{error}");
    let error = refused("[core]\nheartbeat_s = 5\n");
    assert!(error.contains("did you mean `heartbeat_ms`?"), "{error}");
    let error = refused("[policy.weights]\nlod = 5\n");
    assert!(error.contains("did you mean `load`?"), "{error}");
}

#[test]
fn a_certificate_and_its_key_come_together() {
    for (text, missing) in [("certificate", "http.tls.key"), ("key", "http.tls.certificate")] {
        let error = refused(&format!("[http.tls]\n{text} = 'x.pem'\n"));
        assert!(error.starts_with(&format!("{missing}: missing; name")), "{error}");
    }
    let (folder, overrides) = file("[http.tls]\ncertificate = 'c.pem'\nkey = '/k.pem'\n");
    let tls = Config::resolve(overrides, Overrides::default()).expect("both").http.tls;
    let tls = tls.expect("a certificate");
    assert_eq!((tls.certificate, tls.key), (folder.path().join("c.pem"), "/k.pem".into()));
}

#[test]
fn keys_of_one_broker_are_refused_beside_the_other() {
    for (text, key) in [
        ("url = 'mqtt://b'\nlisten = '127.0.0.1:1'", "broker.listen"),
        ("username = 'u'", "broker.username"),
        ("ca_file = 'ca.pem'", "broker.ca_file"),
        ("url = 'mqtt://b'\nca_file = 'ca.pem'", "broker.ca_file"),
        ("url = 'mqtt://b'\npassword_file = 'p'", "broker.password_file"),
        ("tls_listen = '127.0.0.1:1'", "broker.tls_listen"),
        ("clients_max = 0", "broker.clients_max"),
    ] {
        let error = refused(&format!("[broker]\n{text}\n"));
        assert!(error.starts_with(&format!("{key}: ")), "{text}: {error}");
    }
    let text = "[broker]\nurl = 'mqtts://b'\nusername = 'u'\npassword_file = 'p'\nca_file = '/c'\n";
    let (folder, overrides) = file(text);
    let config = Config::resolve(overrides, Overrides::default()).expect("external");
    let BrokerChoice::External(broker) = config.broker else { panic!("embedded") };
    assert_eq!(broker.password_file, Some(folder.path().join("p")));
    assert_eq!(broker.ca_file, Some("/c".into()), "an absolute path stays");
}

#[test]
fn with_only_a_tls_listener_none_without_is_opened() {
    let text = "[broker]\ntls_listen = '127.0.0.1:1'\ntls_cert_file = 'c'\ntls_key_file = 'k'\n";
    let BrokerChoice::Embedded(broker) = resolve(text).expect("tls").broker else {
        panic!("external")
    };
    assert!(broker.listen.is_none() && broker.tls.is_some());
}

#[test]
fn values_that_cannot_work_are_refused() {
    for (text, start) in [
        ("[core]\nheartbeat_ms = 0", "core.heartbeat_ms: must be from 100 to"),
        ("[core]\noffline_after_beats = 1", "core.offline_after_beats: must be from 2 to"),
        ("[core]\nplacements_per_step = 0", "core.placements_per_step: "),
        ("[core]\nlease_margin_ms = 0", "core.lease_margin_ms: must be from 100 to"),
        ("[core]\nrecovery_ms = 86400001", "core.recovery_ms: must be from 1000 to"),
        ("[core]\nreports_per_second = 0", "core.reports_per_second: must be from 1 to"),
        ("[policy]\ndistance_m_ref = 0.0", "policy: distance_m_ref must be"),
        ("[policy.profiles.near]\nbudget_us = 1000001", "policy: profiles.near.budget_us must be"),
        ("[placement]\npolicy_file = 'p'\n[policy]\npacking = true", "policy: has no say beside"),
        ("[queue]\nbatch_max = 1", "queue.batch_max: must be from 2 to"),
        ("[queue]\nlogs_max = 0", "queue.logs_max: must be from 1 to"),
        ("[logs]\ntask_bytes_max = 1000", "logs.task_bytes_max: must be from 65536 to"),
        ("[logs]\nbytes_max = 1000", "logs.bytes_max: must be from 1048576 to"),
        ("[history]\ncount_max = 10", "history.count_max: must be from 1000 to"),
        ("[history]\nkeep_hours = 0", "history.keep_hours: must be from 1 to"),
        ("[history]\nkeep_hours = 400", "history.keys_keep_hours: must be from 400 to"),
        ("[history]\nkeys_count_max = 1", "history.keys_count_max: must be from 1000 to"),
        ("[logs]\nkeep_days = 0", "logs.keep_days: must be from 1 to"),
        ("[access]\nrequests_burst = 0", "access.requests_burst: must be from 1 to"),
        ("[http]\nworkers = 0", "http.workers: must be from 1 to"),
        ("[telemetry.otlp]\nheaders_file = 'x'", "telemetry.otlp.headers_file: is of use only"),
        ("[telemetry.otlp]\nendpoint = 'https://c'", "telemetry.otlp.endpoint: the core speaks"),
    ] {
        let error = refused(text);
        assert!(error.starts_with(start), "{text}: {error}");
    }
}

/// The file that is shipped, with every commented key switched on.
fn shipped() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/cloud.toml");
    std::fs::read_to_string(path).expect("configs/cloud.toml")
}

#[test]
fn the_shipped_file_shows_every_key_with_its_default() {
    let text = shipped();
    let plain: FileConfig = shared_runtime::config::parse(&text, Path::new("x")).expect("parse");
    assert_eq!(plain, FileConfig::default(), "as shipped it changes nothing");
    // Keys without a default are shown as `#key = example`; the others as they stand.
    let shown: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once(" = "))
        .map(|(key, _)| key.trim())
        .collect();
    let known = format!("{:?}", FileConfig::default());
    for word in known.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let names_a_value = known.contains(&format!("{word}: "));
        let is_section = known.contains(&format!("{word}: {{"))
            || [
                "http",
                "tls",
                "access",
                "store",
                "broker",
                "join",
                "core",
                "placement",
                "policy",
                "queue",
                "logs",
                "log",
                "events",
                "history",
                "weights",
                "filters",
                "telemetry",
                "otlp",
            ]
            .contains(&word);
        if names_a_value && !is_section && !word.is_empty() {
            assert!(shown.contains(&word), "configs/cloud.toml does not show `{word}`");
        }
    }
}

/// A policy file with this text.
fn policy_file(text: &str) -> Result<Policy, String> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, text).expect("write");
    let read = PolicyFile::at(&path).read();
    read.map_err(|error| error.to_string().replace(&path.display().to_string(), "policy.toml"))
}

#[test]
fn the_shipped_policy_is_the_default_with_profiles_and_shows_every_key() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/policy.toml");
    let policy = PolicyFile::at(Path::new(path)).read().expect("a policy");
    assert_eq!(Policy { profiles: [].into(), ..policy.clone() }, Policy::default());
    assert_eq!(policy.profiles.keys().collect::<Vec<_>>(), ["anywhere", "even", "near", "pack"]);
    let text = std::fs::read_to_string(path).expect("read");
    let document = serde_json::to_value(Policy::default().document().policy).expect("JSON");
    for (key, value) in document.as_object().expect("an object") {
        assert!(text.contains(&format!("\n{key} =")) || text.contains(&format!("[{key}")), "{key}");
        for key in value.as_object().into_iter().flat_map(|inner| inner.keys()) {
            assert!(text.contains(&format!("\n{key} =")), "{key}");
        }
    }
}

#[test]
fn a_policy_file_that_is_none_is_told_with_its_line() {
    for (text, told) in [
        (
            "packing = true\n[weights]\nload = 1001\n",
            "policy.toml, line 3: weights.load: must be a whole number from 0 to 1000, not 1001",
        ),
        (
            "[profiles.near]\n\nfilters = { offline = false }\n",
            "policy.toml, line 3: profiles.near.filters.offline: is always on",
        ),
        ("packing = maybe\n", "policy.toml, line 1: "),
        ("version = 3\n", "policy.toml, line 1: version: unknown field"),
    ] {
        let error = policy_file(text).expect_err("refused");
        assert!(error.starts_with(told), "{error}");
    }
    let missing = PolicyFile::at(Path::new("/nonexistent/policy.toml")).read();
    assert!(missing.expect_err("missing").to_string().contains("/nonexistent/policy.toml"));
    assert_eq!(policy_file(""), Ok(Policy::default()));
}

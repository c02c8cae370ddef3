//! The operator's client against a core that serves HTTPS with a real certificate: whom it trusts,
//! what it answers to whom it must not trust, and streams that go on over an encrypted connection.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::certificates::Certificates;
use tests::wait::{check, eventually};
use tests::{BrokerKind, Cluster, ClusterBuilder, binaries};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// The client, with nothing of whoever runs the tests.
fn ambit(words: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut ambit = Command::new(binaries::core());
    ambit.args(words).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    ambit
}

fn ask(words: &[&str], variables: &[(&str, &str)]) -> Output {
    ambit(words, variables).output().expect("the program")
}

/// What is answered to a call that must not succeed: the exit code, and the words.
fn refused(words: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let answer = ask(words, variables);
    (answer.status.code(), text(&answer.stderr))
}

/// A cluster whose core speaks HTTPS from its second start on: agents find it by MQTT as before.
fn cluster_with(certificates: impl FnOnce(&Cluster) -> Certificates) -> (Cluster, Certificates) {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(1).start();
    let made = certificates(&cluster);
    let config = cluster.scratch.join("core.toml");
    let [certificate, key] = [&made.certificate, &made.key].map(|path| path.display());
    let text = fs::read_to_string(&config).expect("a configuration");
    let tls = format!("\n[http.tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
    fs::write(&config, text + &tls).expect("written");
    assert!(cluster.core.daemon.stop().is_some_and(|status| status.success()));
    cluster.core.daemon.start();
    (cluster, made)
}

#[test]
fn everything_works_over_https_and_streams_go_on() {
    let (cluster, made) = cluster_with(|cluster| Certificates::make(cluster.scratch.path()));
    let url = format!("https://{}", cluster.api.address);
    let authority = made.authority.to_str().expect("text");
    let at = [("AMBIT_URL", url.as_str()), ("AMBIT_CA_FILE", authority)];
    eventually("a fleet over HTTPS", || {
        let answer = ask(&["agent", "list", "--status", "online", "-o", "json"], &at);
        let list: Value = serde_json::from_slice(&answer.stdout).map_err(|e| e.to_string())?;
        check(list["items"][0]["id"] == "a", || format!("{answer:?}"))
    });
    let doctor = ask(&["doctor", "--url", &url, "--ca-file", authority], &[]);
    assert!(text(&doctor.stdout).contains("1 of 1 agents online"), "{doctor:?}");
    // Without a file of ours the system's authorities count, and these are the system's.
    let system = ask(&["task", "list"], &[("AMBIT_URL", &url), ("SSL_CERT_FILE", authority)]);
    assert_eq!(text(&system.stdout), "no tasks\n", "{system:?}");

    // Three who follow while the task writes and goes on: its log, its states, and the events.
    let mut events = ambit(&["events", "--kind", "task.settled", "--count", "1"], &at)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let script = "echo first; until [ -e \"$GATE\" ]; do sleep 0.05; done; echo last";
    let gate = cluster.scratch.join("gate");
    let variable = format!("GATE={}", gate.display());
    let words = ["task", "submit", "--env", &variable, "--", "/bin/sh", "-c", script];
    let submitted = ask(&words, &at);
    let id = text(&submitted.stdout).trim().to_owned();
    let spawn = |words: &[&str]| {
        let follower = ambit(words, &at).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        follower.expect("the program")
    };
    let mut logs = spawn(&["task", "logs", "--follow", &id]);
    let mut watch = spawn(&["task", "watch", "--logs", &id]);
    let mut lines = BufReader::new(logs.stdout.take().expect("a pipe")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "first");
    fs::write(gate, "").expect("written");
    assert_eq!(lines.next().expect("a line").expect("text"), "last");
    assert_eq!(logs.wait().expect("its end").code(), Some(0));
    assert_eq!(watch.wait().expect("its end").code(), Some(0));
    let event = BufReader::new(events.stdout.take().expect("a pipe")).lines().next();
    assert!(event.expect("a line").expect("text").contains(&id));
    assert_eq!(events.wait().expect("its end").code(), Some(0));
}

#[test]
fn whoever_cannot_be_trusted_is_refused_with_a_way_out() {
    let (cluster, made) =
        cluster_with(|cluster| Certificates::made_for(cluster.scratch.path(), "DNS:localhost"));
    let port = cluster.api.address.port();
    let [by_name, by_address] = ["localhost", "127.0.0.1"].map(|h| format!("https://{h}:{port}"));
    let authority = made.authority.to_str().expect("text");
    eventually("the core to serve HTTPS", || {
        let answer = ask(&["task", "list", "--url", &by_name, "--ca-file", authority], &[]);
        check(answer.status.success(), || format!("{answer:?}"))
    });
    let list = ["task", "list", "--url"];

    // An authority that nobody here knows: one of somebody else.
    let other = tests::scratch::Scratch::new();
    let strangers = Certificates::make(other.path());
    let strangers = strangers.authority.to_str().expect("text");
    let told = refused(&[&list[..], &[&by_name, "--ca-file", strangers]].concat(), &[]);
    assert_eq!(told.0, Some(5), "{told:?}");
    assert!(told.1.contains("authority that is not trusted here; name the"), "{told:?}");
    // It is not waited for: it will not be trusted in a minute either.
    let watch = ["task", "watch", "x", "--url", &by_name, "--ca-file", strangers];
    assert_eq!(refused(&watch, &[]).0, Some(125));

    let told = refused(&[&list[..], &[&by_address, "--ca-file", authority]].concat(), &[]);
    assert_eq!(told.0, Some(5), "{told:?}");
    assert!(told.1.contains("for another host") && told.1.contains("localhost"), "{told:?}");

    // Plain HTTP to a port that serves HTTPS, and the reverse.
    let told = refused(&[&list[..], &[&format!("http://127.0.0.1:{port}")]].concat(), &[]);
    let way_out = format!("write https://127.0.0.1:{port}");
    assert!(told.1.contains(&way_out), "{told:?}");
    let plain = ClusterBuilder::new(BrokerKind::Embedded).start();
    let encrypted = format!("https://{}", plain.api.address);
    let told = refused(&[&list[..], &[&encrypted, "--ca-file", authority]].concat(), &[]);
    assert_eq!(told.0, Some(5), "{told:?}");
    assert!(told.1.contains("write http://"), "{told:?}");
}

//! The placement policy from a file: profiles, a change that takes effect while the core runs, one that
//! makes no sense, and what a change would do before it does.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::scratch::Scratch;
use tests::spec::{noop, task, with};
use tests::wait::{check, eventually};
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder, binaries};

const SYDNEY: (f64, f64) = (-33.8688, 151.2093);

/// Only free capacity counts, which two idle boards have alike: the smaller id has it.
const ANYWHERE: &str = "[weights]\nload = 0\ncapacity = 1\ndistance = 0\nlatency = 0\n";
const NEAR: &str = "[profiles.near.weights]\ndistance = 1000\n";

/// A core that reads this policy from a file, with a board in Melbourne and one in Sydney.
fn cluster(policy: &std::path::Path) -> Cluster {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded)
        .agent(AgentSetup::at("melbourne", -37.8136, 144.9631))
        .agent(AgentSetup::at("sydney", SYDNEY.0, SYDNEY.1))
        .lay_out();
    let path = policy.display().to_string();
    cluster.core.daemon.set_env("AMBIT_PLACEMENT_POLICY_FILE", &path);
    cluster.start();
    cluster
}

fn near_sydney(profile: Option<&str>) -> Value {
    let near = json!({"latitude": SYDNEY.0, "longitude": SYDNEY.1});
    with(task(noop()), json!({"where": {"near": near}, "prefer": {"profile": profile}}))
}

/// Where a task went, under which version and profile of the policy.
fn placed(cluster: &Cluster, profile: Option<&str>) -> (String, u64, Option<String>) {
    let id = cluster.api.submit(&near_sydney(profile));
    let done = cluster.api.settled(&id);
    let last = done.assignments.last().expect("an attempt");
    (last.agent.to_string(), last.policy, last.profile.clone())
}

fn version(cluster: &Cluster) -> u64 {
    let answer = cluster.api.request("GET", "/v1/policy", None).expect("an answer");
    answer.json()["version"].as_u64().expect("a version")
}

fn ambit(cluster: &Cluster, words: &[&str]) -> Output {
    let url = format!("http://{}", cluster.api.address);
    Command::new(binaries::core()).args(words).args(["--url", &url]).output().expect("the client")
}

#[test]
fn a_policy_file_is_followed_while_the_core_runs_and_nonsense_in_it_is_not() {
    let scratch = Scratch::new();
    let file = scratch.join("policy.toml");
    fs::write(&file, format!("{ANYWHERE}{NEAR}")).expect("written");
    let cluster = cluster(&file);
    let first = version(&cluster);
    assert_eq!(placed(&cluster, None), ("melbourne".to_owned(), first, None));
    let near = Some("near".to_owned());
    assert_eq!(placed(&cluster, Some("near")), ("sydney".to_owned(), first, near));

    // Nobody changes it by the way.
    let put = cluster.api.request("PUT", "/v1/policy", Some(&json!({}))).expect("an answer");
    let named = put.json()["type"].as_str().is_some_and(|kind| kind.ends_with("/policy-from-file"));
    assert!(put.status == 409 && named, "{put}");
    assert!(put.json()["detail"].as_str().is_some_and(|told| told.contains("policy.toml")));
    let refused = cluster.api.try_submit(&near_sydney(Some("naer")), None).expect("an answer");
    assert_eq!(
        (refused.status, &refused.json()["errors"][0]["pointer"]),
        (422, &json!("/prefer/profile"))
    );

    let all_near = ANYWHERE.replace("distance = 0", "distance = 1000");
    fs::write(&file, &all_near).expect("written");
    let second = eventually("the changed policy", || {
        let now = version(&cluster);
        check(now == first + 1, || format!("version {now}")).map(|()| now)
    });
    assert_eq!(placed(&cluster, None), ("sydney".to_owned(), second, None));

    // Told once, with its line, and again when somebody asks for it.
    fs::write(&file, all_near.replace("load = 0", "laod = 0")).expect("written");
    let told = |times: usize| {
        let log = cluster.core.daemon.log();
        let lines =
            log.lines().filter(|line| line.contains("the placement policy stays as it was"));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        let expected = lines.len() == times
            && lines.iter().all(|line| {
                line.contains("policy.toml, line 2: weights.laod: unknown field")
                    && line.contains("did you mean `load`?")
            });
        check(expected, || log)
    };
    eventually("a line about the mistake", || told(1));
    let pid = cluster.core.daemon.pid().expect("a process").to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
    eventually("a line for SIGHUP", || told(2));
    assert_eq!(placed(&cluster, None), ("sydney".to_owned(), second, None));

    // What was in force can still be looked at.
    let shown = ambit(&cluster, &["policy", "show", "--version", &first.to_string(), "-o", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!(shown["policy"]["profiles"]["near"]["weights"]["distance"], 1_000);
}

#[test]
fn a_replay_shows_what_a_policy_would_move_and_moves_nothing() {
    let scratch = Scratch::new();
    let file = scratch.join("policy.toml");
    fs::write(&file, format!("{ANYWHERE}{NEAR}")).expect("written");
    let cluster = cluster(&file);
    let before = version(&cluster);
    for profile in [None, None, Some("near")] {
        placed(&cluster, profile);
    }
    let other = scratch.join("other.toml");
    let replay = |text: &str, output: &str| {
        fs::write(&other, text).expect("written");
        let path = other.display().to_string();
        ambit(&cluster, &["policy", "replay", "-f", &path, "--last", "100", "-o", output])
    };
    let json = |output: Output| -> Value {
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };

    let same = json(replay(&format!("{ANYWHERE}{NEAR}"), "json"));
    assert_eq!((&same["placements"], &same["change"]["stay"]), (&json!(3), &json!(3)));

    let all_near = ANYWHERE.replace("distance = 0", "distance = 1000");
    let told = json(replay(&all_near, "json"));
    let expected = json!({"stay": 1, "moved": 2, "gain": 0, "lose": 0, "nowhere": 0});
    assert_eq!((&told["change"], &told["policy"]), (&expected, &json!(before)));
    assert_eq!(told["unknown_profiles"], json!(["near"]));
    assert!(told["before"]["distance_m_mean"].as_f64() > told["after"]["distance_m_mean"].as_f64());
    assert_eq!(told["examples"][0]["after"]["agent"], "sydney");
    let table = replay(&all_near, "table");
    let table = String::from_utf8(table.stdout).expect("text");
    assert!(table.contains("melbourne") && table.contains("(none)"), "{table}");

    let wrong = replay("[weights]\nload = 2000\n", "table");
    let told = String::from_utf8(wrong.stderr).expect("text");
    assert!(told.contains("other.toml, line 2: weights.load: must be"), "{told}");
    assert_eq!(version(&cluster), before);
}

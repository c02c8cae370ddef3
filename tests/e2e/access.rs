//! Who may do what with a real core: tokens that come and go while it runs.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::json;
use shared::api::{AgentFlag, AgentStatus};
use shared::task::TaskStatus;
use tests::http::{Answer, Request, request};
use tests::spec::{sh, task, with};
use tests::wait::{check, eventually};
use tests::{BrokerKind, ClusterBuilder, binaries};

/// Runs `ambit token …` on a core's data folder.
fn token(data: &Path, words: &[&str]) -> Output {
    let mut ambit = Command::new(binaries::core());
    ambit.arg("token").args(words).arg("--data").arg(data).output().expect("the core's program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn ask(core: SocketAddr, method: &str, path: &str, bearer: Option<&str>) -> io::Result<Answer> {
    let bearer = bearer.map(|token| ("Authorization", format!("Bearer {token}")));
    let headers: Vec<_> = bearer.iter().map(|(name, value)| (*name, value.as_str())).collect();
    request(core, Request { method, path, headers: &headers, body: None })
}

#[test]
fn tokens_come_and_go_while_the_core_runs() {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(1).start();
    let (core, data) = (cluster.api.address, cluster.core.data().to_path_buf());
    let status = |path: &str, bearer: Option<&str>| {
        ask(core, "GET", path, bearer).map(|answer| answer.status).map_err(|e| e.to_string())
    };
    let becomes = |path: &str, bearer: Option<&str>, wanted: u16| {
        eventually(&format!("{path} to be answered with {wanted}"), || {
            let status = status(path, bearer)?;
            check(status == wanted, || format!("it is {status}"))
        });
    };
    assert_eq!(status("/v1/agents", None), Ok(200), "open until there is a token");

    let made = token(&data, &["create", "--name", "ops", "--role", "operator"]);
    assert!(made.status.success(), "{made:?}");
    let operator = text(&made.stdout).trim().to_owned();
    assert!(!text(&made.stderr).contains(&operator), "the secret is said once");
    becomes("/v1/agents", None, 401);
    assert_eq!(status("/v1/agents", Some(&operator)), Ok(200));
    assert_eq!(status("/health/ready", None), Ok(200));

    let made = token(&data, &["create", "--name", "watch", "--role", "viewer"]);
    let viewer = text(&made.stdout).trim().to_owned();
    becomes("/v1/agents", Some(&viewer), 200);
    let drain = ask(core, "POST", "/v1/agents/a/drain", Some(&viewer)).expect("an answer");
    assert_eq!(drain.status, 403, "{drain}");
    let drain = ask(core, "POST", "/v1/agents/a/drain", Some(&operator)).expect("an answer");
    assert_eq!(drain.status, 200, "{drain}");

    let again = token(&data, &["create", "--name", "watch", "--role", "viewer"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("revoke it first"), "{again:?}");
    assert!(token(&data, &["revoke", "watch"]).status.success());
    becomes("/v1/agents", Some(&viewer), 401);

    // It is written down in order when the core stops, and holds when it is back.
    assert!(cluster.core.daemon.stop().is_some_and(|status| status.success()));
    let list = text(&token(&data, &["list", "-o", "json"]).stdout);
    let items = serde_json::from_str::<serde_json::Value>(&list).expect("JSON")["items"].clone();
    assert_eq!((&items[0]["name"], &items[0]["status"]), (&"ops".into(), &"holds".into()));
    assert!(items[0]["last_used_at"].is_string(), "{list}");
    assert_eq!(items[1]["status"], "revoked", "{list}");
    cluster.core.start();
    becomes("/v1/agents", Some(&operator), 200);
    assert_eq!(status("/v1/agents", None), Ok(401));

    let log = cluster.core.daemon.log();
    let audited =
        |words: &[&str]| log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(audited(&["who=\"ops\"", "/v1/agents/a/drain", "status=200"]), "{log}");
    assert!(audited(&["who=\"watch\"", "status=403", "refused=\"forbidden\""]), "{log}");
    for secret in [&operator, &viewer] {
        let random = secret.rsplit('_').next().expect("a secret");
        assert!(!log.contains(random) && !list.contains(random));
    }
}

#[test]
fn a_revoked_agent_is_shut_out_at_once_and_its_work_goes_elsewhere() {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(2).start();
    let api = cluster.api;
    let spec = with(task(sh("sleep 600")), json!({"where": {"agents": ["a", "b"]}}));
    let id = api.submit(&spec);
    let first = api.running(&id).assignments[0].agent.to_string();
    let other = if first == "a" { "b" } else { "a" };
    let shown = api.operate(&first, "revoke");
    assert_eq!((shown.status, &*shown.flags), (AgentStatus::Offline, &[AgentFlag::Revoked][..]));
    api.task_when(&id, "to run elsewhere", |task| {
        let last = task.assignments.iter().max_by_key(|attempt| attempt.attempt);
        task.summary.status == TaskStatus::Running
            && last.is_some_and(|attempt| attempt.agent.as_str() == other)
    });
    let agent = cluster.agent(&first);
    eventually("the agent to say that it is revoked", || {
        let log = agent.daemon.log();
        check(log.contains("an operator has revoked"), || log)
    });
    let data = agent.data().to_path_buf();
    eventually("its status to say so", || {
        let mut status = Command::new(binaries::agent());
        let status = status.arg("status").arg("--data").arg(&data).output().expect("the program");
        let text = text(&status.stdout);
        check(text.contains("revoked") && text.contains("readmit"), || text)
    });
    assert_eq!(api.agent(&first).expect("known").status, AgentStatus::Offline);

    // It comes back once an operator says so; it asks at its next start.
    assert!(api.operate(&first, "readmit").flags.is_empty());
    cluster.agent(&first).daemon.kill();
    cluster.agent(&first).daemon.start();
    api.agent_is(&first, AgentStatus::Online);
    api.cancel(&id);
    api.settled(&id);
}

//! What an agent says about itself with nobody else there.

use std::process::Command;

use shared::task::TaskStatus;
use tests::builder::once;
use tests::spec::{noop, task};
use tests::{BrokerKind, ClusterBuilder, binaries};

#[test]
fn status_answers_without_core_broker_or_agent() {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(1).start();
    let api = cluster.api;
    let done = api.submit(&task(noop()));
    assert_eq!(api.settled(&done).summary.status, TaskStatus::Succeeded);
    let running = api.submit(&once(&cluster, "sleep 600"));
    api.running(&running);
    let ask = |cluster: &mut tests::Cluster, words: &[&str]| {
        let data = cluster.agent("a").data().to_path_buf();
        let answer = Command::new(binaries::agent())
            .args(words)
            .arg("--data")
            .arg(data)
            .output()
            .expect("the agent's program");
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).expect("text")
    };
    let alive = ask(&mut cluster, &["status"]);
    cluster.core.daemon.kill();
    cluster.agent("a").daemon.kill();

    let text = ask(&mut cluster, &["status"]);
    assert!(text.contains('a') && !text.is_empty(), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&ask(&mut cluster, &["status", "-o", "json"])).expect("JSON");
    assert_eq!(json["id"], "a", "{json}\n{alive}");
    let tasks = ask(&mut cluster, &["tasks"]);
    assert!(tasks.contains(&running), "{tasks}");
}

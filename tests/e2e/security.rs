//! Strangers: who does not hold the token does not get in, who got in speaks for itself only, and
//! the broker is believed in nothing.

mod stranger;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use shared::id::{AssignmentId, Attempt, Incarnation, Revision, Sequence, Session};
use shared::report::{End, Finish, Output, Report, ReportEvent};
use shared::spec::{Exec, Run};
use shared::task::TaskStatus;
use shared::time::{Stamp, Timestamp};
use shared::wire::downlink::{Desired, DesiredRow, LocalRetry, Order, Want};
use shared::wire::uplink::{NumberedReport, Reports};
use shared::wire::{Downlink, Topic, Uplink};
use shared_runtime::seal::{Root, SealKey};
use tests::agent::Token;
use tests::broker::{CORE_USER, password_of};
use tests::builder::{JOIN_TOKEN, once};
use tests::spec::{noop, on, task, with};
use tests::wait::{check, eventually};
use tests::{Agent, AgentSetup, BrokerKind, Cluster, ClusterBuilder};

use stranger::{Said, Stranger};

tests::on_both_brokers!(
    without_the_token_nobody_joins,
    secrets_stay_where_they_are,
    a_forged_report_changes_nothing,
);

fn root_of(agent: &Agent) -> Root {
    let text = std::fs::read_to_string(agent.data().join("credential")).expect("a credential");
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    Root::from_hex(file["root"].as_str().expect("a root")).expect("hex")
}

fn without_the_token_nobody_joins(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind)
        .agent(AgentSetup::at("honest", 0.0, 0.0))
        .agent(AgentSetup::at("empty-handed", 0.0, 0.0).token(Token::Absent).later())
        .agent(AgentSetup::at("mistaken", 0.0, 0.0).token(Token::Wrong).later())
        .start();
    let api = cluster.api;
    for id in ["empty-handed", "mistaken"] {
        cluster.agent(id).daemon.start();
        eventually(&format!("{id} to say what it lacks"), || {
            let log = cluster.agent(id).daemon.log();
            check(log.contains("join token"), || log)
        });
    }
    let done = api.submit(&task(noop()));
    assert_eq!(api.settled(&done).summary.status, TaskStatus::Succeeded);
    let ids: Vec<String> =
        api.agents().expect("agents").into_iter().map(|agent| agent.id.to_string()).collect();
    assert_eq!(ids, ["honest"]);
    for id in ["empty-handed", "mistaken"] {
        // It may have ended by itself, which is no fault here.
        cluster.agent(id).daemon.kill();
        assert!(!cluster.agent(id).data().join("credential").exists());
    }
}

fn secrets_stay_where_they_are(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(1).start();
    let api = cluster.api;
    let id = api.submit(&task(noop()));
    assert_eq!(api.settled(&id).summary.status, TaskStatus::Succeeded);
    let agent = cluster.agent("a");
    let credential = agent.data().join("credential");
    let mode = std::fs::metadata(&credential).expect("a credential").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let root = root_of(agent);
    let log = agent.daemon.log() + &cluster.core.daemon.log();
    let secrets = [
        ("the root of the credential", root.expose_hex()),
        ("the broker password", root.broker_password().expose().to_owned()),
        ("the join token", JOIN_TOKEN.to_owned()),
    ];
    for (what, secret) in &secrets {
        assert!(!log.contains(secret.as_str()), "{what} is in a log");
    }
    // The files as they are while the core runs, write-ahead log included, and afterwards.
    look_for(&cluster, &secrets);
    cluster.core.daemon.stop();
    look_for(&cluster, &secrets);
}

fn look_for(cluster: &Cluster, secrets: &[(&str, String)]) {
    let mut files = 0;
    for entry in std::fs::read_dir(cluster.core.data()).expect("the core's folder").flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        for (what, secret) in secrets {
            let raw = shared_runtime::seal::from_hex::<32>(secret).map(|bytes| bytes.to_vec());
            let forms = [secret.as_bytes().to_vec(), raw.unwrap_or_default()];
            for form in forms.iter().filter(|form| !form.is_empty()) {
                let found = bytes.windows(form.len()).any(|window| window == form);
                assert!(!found, "{what} is in {}", entry.path().display());
            }
        }
        files += 1;
    }
    assert!(files >= 2, "the core keeps a database and a lock");
}

/// A report that an attempt ended with exit code 42, numbered far beyond all others.
fn forgery(agent: &Agent, session: Session, task: &str) -> Uplink {
    let finish = Finish {
        end: End::Exited { code: 42 },
        started_at: None,
        ran_ms: None,
        output: Output::default(),
    };
    let report = Report {
        assignment: AssignmentId { task: task.parse().expect("an id"), attempt: Attempt(1) },
        at: Timestamp(1_000_000),
        stamp: Stamp::default(),
        event: ReportEvent::Finished(Box::new(finish)),
    };
    let seq = Sequence(1_000_000);
    let items = vec![NumberedReport { seq, report }];
    Uplink::Reports(Reports {
        incarnation: incarnation_of(agent),
        session,
        after: Sequence(0),
        items,
        upto: seq,
    })
}

/// Which process of an agent the core goes by: only its database knows.
fn session_of(core: &Path, agent: &str) -> Session {
    let database = shared_runtime::sqlite::open_read_only(&core.join("core.db")).expect("database");
    let sql = "SELECT session FROM agents WHERE id = $1";
    Session(database.query_row(sql, [agent], |row| row.get(0)).expect("an agent"))
}

fn incarnation_of(agent: &Agent) -> Incarnation {
    let status = status_of(agent);
    status["incarnation"].as_str().expect("an incarnation").parse().expect("an incarnation")
}

fn status_of(agent: &Agent) -> serde_json::Value {
    let answer = std::process::Command::new(tests::binaries::agent())
        .args(["status", "-o", "json", "--data"])
        .arg(agent.data())
        .output()
        .expect("the agent's program");
    serde_json::from_slice(&answer.stdout).expect("JSON")
}

fn a_forged_report_changes_nothing(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(2).start();
    let api = cluster.api;
    let id = api.submit(&on(once(&cluster, "sleep 600"), &["a"]));
    api.running(&id);
    let session = session_of(cluster.core.data(), "a");
    let forged = forgery(cluster.agent("a"), session, &id);
    let (right, others) = (root_of(cluster.agent("a")), root_of(cluster.agent("b")));
    let broker = cluster.core.broker();
    let user = |agent: &str, root: &Root| match kind {
        BrokerKind::Embedded => Stranger::new(broker, agent, root.broker_password().expose()),
        BrokerKind::Mosquitto => Stranger::new(broker, agent, &password_of(agent)),
    };
    let topic = |agent: &str| Topic::Up(agent.parse().expect("an id")).to_string();
    let dropped = || api.metric("ambit_messages_dropped_total").unwrap_or(0.0);

    // Agent b, with its own good password, speaks on a's topic: the broker does not let it.
    cluster.agent("b").daemon.kill();
    let said = user("b", &others).says(&topic("a"), &forged, &right.seal_key());
    assert_eq!(said, Said::NotAllowed);
    // On its own topic, about a's task, with its own good seal: another agent's business.
    let said = user("b", &others).says(&topic("b"), &forged, &others.seal_key());
    assert_eq!(said, Said::Delivered);

    // A broker, or a thief of a's password, speaks as a without a's seal.
    cluster.agent("a").daemon.kill();
    let before = dropped();
    let said = user("a", &right).says(&topic("a"), &forged, &others.seal_key());
    assert_eq!(said, Said::Delivered);
    eventually("the forgery to be dropped", || {
        let now = dropped();
        check(now > before, || format!("{now} messages dropped"))
    });
    // Every message before this answer has been decided.
    let later = api.submit(&with(task(noop()), json!({"where": {"regions": ["nowhere"]}})));
    assert_eq!(api.task(&later).expect("a task").summary.status, TaskStatus::Pending);
    assert!(!api.task(&id).expect("the task").summary.status.is_settled());

    // The same words with the right seal are believed: the seal alone made the difference.
    let said = user("a", &right).says(&topic("a"), &forged, &right.seal_key());
    assert_eq!(said, Said::Delivered);
    let outcome = api.settled(&id).outcome.expect("an outcome");
    assert_eq!(outcome.exit_code, Some(42));
}

/// A broker that orders work by itself, as only an operator of Mosquitto could.
#[test]
fn a_forged_order_is_not_carried_out() {
    let mut cluster = ClusterBuilder::new(BrokerKind::Mosquitto).agents(1).start();
    let api = cluster.api;
    let marker = cluster.scratch.join("forged");
    let broker = cluster.core.broker();
    let agent = cluster.agent("a");
    let root = root_of(agent);
    let order = Order {
        firing: None,
        name: None,
        run: Run::Exec(Exec {
            command: "/usr/bin/touch".to_owned(),
            args: vec![marker.display().to_string()],
            ..Exec::default()
        }),
        needs: shared::capacity::Resources::default(),
        priority: 50,
        timeout_ms: None,
        grace_ms: 1_000,
        stop_after_ms: None,
        lease_ms: None,
        retry: LocalRetry::default(),
        trace: None,
    };
    let task_id = shared::id::TaskId(uuid::Uuid::from_u128(7));
    let row = DesiredRow {
        rev: Revision(1_000),
        assignment: AssignmentId { task: task_id, attempt: Attempt(1) },
        want: Want::Run(std::sync::Arc::new(order)),
    };
    let core = eventually("the agent to know its core", || {
        let status = status_of(agent);
        let core = status["core"].as_str().ok_or_else(|| status.to_string())?;
        core.parse().map_err(|error| format!("{error:?}"))
    });
    let forged = Downlink::Desired(Desired {
        schedules: Vec::new(),
        core,
        incarnation: incarnation_of(agent),
        base: Revision(0),
        upto: Revision(1_000),
        rows: vec![row],
    });
    let topic = Topic::Down("a".parse().expect("an id")).to_string();
    // The core fights for its place at the broker, so a word may be cut off: it is said again.
    let say = |key: &SealKey| {
        Stranger::new(broker, CORE_USER, &password_of(CORE_USER)).says(&topic, &forged, key);
    };
    eventually("the agent to see the forged order for what it is", || {
        say(&wrong_key());
        let log = cluster.agent("a").daemon.log();
        check(log.contains("the core cannot have sent"), || log)
    });

    // The agent goes on as before, once the core has its place back.
    let done = api.submit(&task(noop()));
    assert_eq!(api.settled(&done).summary.status, TaskStatus::Succeeded);
    assert!(!marker.exists(), "a forged order was carried out");

    // With the right seal it is carried out: the seal alone made the difference.
    eventually("the order to be carried out", || {
        say(&root.seal_key());
        check(marker.exists(), || "no file".to_owned())
    });
}

fn wrong_key() -> SealKey {
    SealKey::from_hex(&"2a".repeat(32)).expect("a key")
}

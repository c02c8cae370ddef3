//! A whole agent but for its broker: real tasks under real supervisors, a real database, a link in
//! memory. What it promises is looked at from the core's side.

mod bench;
mod full_disk;
mod leases;
mod logs;
mod thrift;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use bench::{BINARY, Bench, agent_id};
use edge_agent::config::{credential_in, database_in};
use edge_agent::identity::CredentialFile;
use edge_agent::link::{Line, LineEvent, Me};
use shared::id::{Boot, Incarnation, Session};
use shared::report::{End, ReportEvent, StopReason};
use shared::wire::Downlink;
use shared::wire::downlink::Want;
use shared_runtime::clock::new_uuid_v4;
use shared_runtime::link::LinkRefused;
use shared_runtime::link::loopback::Hub;
use shared_runtime::seal::{JoinToken, Nonce};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_joins_runs_a_task_and_tells_its_end_once() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    assert_eq!(bench.core.see(|memory| memory.joins), 1);
    let mode = std::fs::metadata(credential_in(&bench.data())).expect("kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let script = "echo $AMBIT_AGENT_ID $AMBIT_ATTEMPT $AMBIT_TASK_NAME; pwd; echo $HOME; exit 7";
    let task = bench.core.run(script).await;
    let finish = bench.core.finish_of(task).await;
    assert_eq!(finish.end, End::Exited { code: 7 });
    let lines: Vec<&str> = finish.output.stdout_tail.lines().collect();
    assert_eq!((lines[0], lines[1]), ("board-7 1 probe", lines[2]), "{lines:?}");
    let kinds: Vec<_> = bench
        .core
        .see(|memory| memory.reports.iter().map(|item| item.report.event.clone()).collect());
    use ReportEvent::{Accepted, Finished, Started};
    assert!(matches!(kinds[..], [Accepted, Started, Finished(_)]), "{kinds:?}");

    shutdown.request();
    running.await.expect("ends");
    assert!(bench.core.see(|memory| memory.gone.iter().any(|gone| gone.orderly)));
    let left: Vec<_> = std::fs::read_dir(bench.data().join("attempts"))
        .expect("the folder")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
        .collect();
    assert!(left.is_empty(), "what is acknowledged is forgotten: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_outlives_its_agent_and_is_found_again() {
    let bench = Bench::new();
    let evidence = bench.path("evidence");
    let go = bench.path("go");
    let (running, _shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let script = format!(
        "echo ran >> {}; while [ ! -e {} ]; do sleep 0.02; done; exit 3",
        evidence.display(),
        go.display()
    );
    let runs = bench.core.run(&script).await;
    let ends = bench.core.run("sleep 0.3; exit 4").await;
    bench.core.started(runs).await;
    bench.core.started(ends).await;
    running.abort();
    let _ = running.await;
    tokio::time::sleep(Duration::from_millis(600)).await;

    let (running, shutdown) = bench.agent();
    assert_eq!(bench.core.finish_of(ends).await.end, End::Exited { code: 4 });
    assert!(bench.core.see(|memory| memory.finish_of(runs)).is_none());
    std::fs::write(&go, "").expect("go");
    let finish = bench.core.finish_of(runs).await;
    assert_eq!(finish.end, End::Exited { code: 3 });
    assert!(finish.ran_ms.expect("it ran") >= 600);
    assert_eq!(std::fs::read_to_string(&evidence).expect("evidence"), "ran\n");
    let boots: Vec<Boot> =
        bench.core.see(|memory| memory.hellos.iter().map(|hello| hello.boot).collect());
    assert!(boots.contains(&Boot(1)) && boots.contains(&Boot(2)), "{boots:?}");
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_the_dark_hours_arrives_once_when_the_link_is_back() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let done = bench.path("done");
    let task = bench.core.run(&format!("sleep 0.3; touch {}", done.display())).await;
    bench.core.started(task).await;
    bench.cut();
    while !done.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(bench.core.see(|memory| memory.finish_of(task)).is_none());
    // Its will named the connection that broke.
    let gone = bench.core.see(|memory| memory.gone.clone());
    assert!(gone.iter().any(|gone| !gone.orderly && gone.link == 1), "{gone:?}");
    let status = Command::new(BINARY)
        .args(["status", "-o", "json", "--data"])
        .arg(bench.data())
        .output()
        .expect("status");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("json");
    assert_eq!((status["link"].as_str(), status["id"].as_str()), (Some("down"), Some("board-7")));
    assert!(status["reports_waiting"].as_u64() >= Some(1), "{status}");

    bench.mend();
    assert_eq!(bench.core.finish_of(task).await.end, End::Exited { code: 0 });
    let hellos = bench.core.see(|memory| memory.hellos.clone());
    let last = hellos.last().expect("hello");
    assert!(last.link > 1 && last.boot == Boot(1), "{hellos:?}");
    tokio::time::sleep(Duration::from_millis(700)).await;
    let ends = bench.core.see(|memory| {
        let finished = |event: &ReportEvent| matches!(event, ReportEvent::Finished(_));
        memory.reports.iter().filter(|item| finished(&item.report.event)).count()
    });
    assert_eq!(ends, 1);
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_are_sent_again_until_they_are_acknowledged() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    bench.core.see(|memory| memory.acknowledges = false);
    let task = bench.core.run("true").await;
    bench.core.finish_of(task).await;
    // The core dies before it commits: what it took is gone, and the agent still has it.
    bench.core.see(|memory| {
        memory.inbox = None;
        memory.reports.clear();
        memory.acknowledges = true;
    });
    bench.core.finish_of(task).await;
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_sealed_by_the_core_is_not_heard() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let honest = bench.core.see(|memory| memory.root.clone());
    let token = JoinToken::from_text("somebody else's token").expect("a token");
    bench.core.see(|memory| memory.root = Some(token.root(&agent_id(), &Nonce::fresh())));
    let forged = bench.core.run("true").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    bench.core.see(|memory| memory.root = honest);
    assert!(bench.core.see(|memory| memory.reports.is_empty()));
    assert!(!bench.data().join("attempts").join(forged.to_string()).exists());
    // The same words under the right seal.
    bench.core.push().await;
    bench.core.finish_of(forged).await;
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_task_is_stopped_on_request() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let task = bench.core.run("trap '' TERM; while :; do sleep 0.05; done").await;
    bench.core.started(task).await;
    let reason = StopReason::Canceled;
    bench.core.see(|memory| memory.want(task, Want::Stop { reason }));
    bench.core.push().await;
    let finish = bench.core.finish_of(task).await;
    assert_eq!(finish.end, End::Stopped { reason });
    assert!(finish.ran_ms.expect("it ran") >= 900, "it had its grace");
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_said_or_started_while_nothing_can_be_written() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let evidence = bench.path("evidence");
    // Somebody else holds the database for longer than the agent's patience with it.
    let other = rusqlite::Connection::open(database_in(&bench.data())).expect("open");
    other.execute_batch("BEGIN IMMEDIATE").expect("held");
    let task = bench.core.run(&format!("echo ran >> {}", evidence.display())).await;
    tokio::time::sleep(Duration::from_millis(6_500)).await;
    assert!(!evidence.exists() && bench.core.see(|memory| memory.reports.is_empty()));
    other.execute_batch("ROLLBACK").expect("released");
    assert_eq!(bench.core.finish_of(task).await.end, End::Exited { code: 0 });
    assert_eq!(std::fs::read_to_string(&evidence).expect("evidence"), "ran\n");
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_was_revoked_says_so_and_stays_away() {
    let root = tempfile::tempdir().expect("a folder");
    let token = JoinToken::from_text("0123456789abcdef").expect("a token");
    let file = CredentialFile::of(&credential_in(root.path()), &agent_id());
    file.write(&token.root(&agent_id(), &Nonce::fresh())).expect("write");
    let hub = Hub::new();
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    let dial = {
        let hub = hub.clone();
        Box::new(move |caller: edge_agent::link::Caller| {
            let link = hub.link(&caller.client_id, vec![], None);
            hub.refuse(&caller.client_id, LinkRefused::Banned);
            calls.send(caller.client_id).expect("heard");
            Ok(link)
        })
    };
    let incarnation = Incarnation(new_uuid_v4());
    let me = Me { agent: agent_id(), incarnation, boot: Boot(1), session: Session(1) };
    let mut line = Line::new(me, dial, file, Some(token)).expect("a line").with_patience_ms(0);
    let reason = loop {
        if let LineEvent::Down { reason } = line.next().await.expect("told") {
            break reason;
        }
    };
    assert!(reason.contains("an operator has revoked board-7"), "{reason}");
    assert_eq!(called.recv().await.as_deref(), Some("board-7"));
    // Longer than the first wait of any other loss, several times.
    let again = tokio::time::timeout(Duration::from_secs(2), line.next()).await;
    assert!(again.is_err() && called.try_recv().is_err(), "it called again: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_the_core_has_forgotten_joins_again_after_a_while() {
    let root = tempfile::tempdir().expect("a folder");
    let token = JoinToken::from_text("0123456789abcdef").expect("a token");
    let file = CredentialFile::of(&credential_in(root.path()), &agent_id());
    file.write(&token.root(&agent_id(), &Nonce::fresh())).expect("write");
    let hub = Hub::new();
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    let dial = {
        let hub = hub.clone();
        Box::new(move |caller: edge_agent::link::Caller| {
            let link = hub.link(&caller.client_id, vec![], None);
            hub.refuse(&caller.client_id, LinkRefused::BadCredentials);
            calls.send(caller.client_id).expect("heard");
            Ok(link)
        })
    };
    let incarnation = Incarnation(new_uuid_v4());
    let me = Me { agent: agent_id(), incarnation, boot: Boot(1), session: Session(1) };
    let mut line = Line::new(me, dial, file, Some(token)).expect("a line").with_patience_ms(0);
    for expected in ["joins again with its join token", "put the core's into join_token_file"] {
        // Either may be up for a moment before the broker refuses it.
        let reason = loop {
            if let LineEvent::Down { reason } = line.next().await.expect("told") {
                break reason;
            }
        };
        assert!(reason.contains(expected), "{reason}");
    }
    assert_eq!(called.recv().await.as_deref(), Some("board-7"));
    let second = called.recv().await.expect("called");
    assert!(second.starts_with("join-board-7-"), "{second}");
    line.close(Duration::from_secs(1)).await;
}

/// A core that was put back to a backup may not know a credential, and no broker says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_nobody_answers_tries_its_join_token_and_goes_back_to_its_credential() {
    let root = tempfile::tempdir().expect("a folder");
    let token = JoinToken::from_text("0123456789abcdef").expect("a token");
    let file = CredentialFile::of(&credential_in(root.path()), &agent_id());
    file.write(&token.root(&agent_id(), &Nonce::fresh())).expect("write");
    let hub = Hub::new();
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    let dial = Box::new(move |caller: edge_agent::link::Caller| {
        calls.send(caller.client_id.clone()).expect("heard");
        Ok(hub.link(&caller.client_id, vec![], None))
    });
    let incarnation = Incarnation(new_uuid_v4());
    let me = Me { agent: agent_id(), incarnation, boot: Boot(1), session: Session(1) };
    let mut line = Line::new(me, dial, file, Some(token)).expect("a line").with_patience_ms(50);
    for expected in ["board-7", "join-board-7-", "board-7", "join-board-7-"] {
        let client = loop {
            tokio::select! {
                client = called.recv() => break client.expect("called"),
                event = line.next() => drop(event.expect("told")),
            }
        };
        assert!(client.starts_with(expected), "{client}");
    }
    line.close(Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_does_not_answer_is_greeted_again() {
    let bench = Bench::new();
    bench.core.see(|memory| memory.welcomes = false);
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| memory.hellos.len() >= 3).await;
    bench.core.see(|memory| memory.welcomes = true);
    bench.core.say(&Downlink::WhoIsThere).await;
    let task = bench.core.run("true").await;
    bench.core.finish_of(task).await;
    shutdown.request();
    running.await.expect("ends");
}

#[test]
fn mistakes_on_the_command_line_have_their_own_exit_codes() {
    let root = tempfile::tempdir().expect("a folder");
    let agent =
        |arguments: &[&str]| Command::new(BINARY).args(arguments).output().expect("the binary");
    let data = root.path().to_str().expect("text");
    let output = agent(&["run", "--data", data, "--id", "a"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("--join-token-file FILE"), "{error}");
    let output = agent(&["run", "--data", data, "--capacity", "cpu_milis=1"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("did you mean `cpu_millis`?"), "{error}");
    let _folder = edge_agent::folder::Folder::take(root.path()).expect("free");
    let output = agent(&["run", "--data", data, "--id", "a"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another agent (process"));
    let output = agent(&["status", "--data", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
}

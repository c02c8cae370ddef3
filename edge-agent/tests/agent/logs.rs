//! What tasks write reaches the core, also that of hours without a link and of runs that were
//! followed by others; what is lost is told; and the board can be asked itself.

use std::process::{Command, Output};
use std::time::Duration;

use shared::id::AssignmentId;
use shared::report::End;
use shared::wire::downlink::LocalRetry;

use crate::bench::{BINARY, Bench};

/// The entries of a folder of the data folder.
fn entries(bench: &Bench, name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(bench.data().join(name)).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn asked(bench: &Bench, words: &[&str]) -> Output {
    let data = bench.data();
    Command::new(BINARY).args(words).arg("--data").arg(data).output().expect("the program")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_task_writes_is_told_while_it_runs_and_to_its_end() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let go = bench.path("go");
    let script = format!(
        "echo früh; until [ -e {} ]; do sleep 0.05; done; seq 1 20000; printf 'ünd €uro\\n' >&2",
        go.display()
    );
    let task = bench.core.run(&script).await;
    let early = |memory: &crate::bench::Memory| {
        memory.logs.get(&task).is_some_and(|log| log.text == "früh\n" && !log.complete)
    };
    bench.core.until("the first line", early).await;
    let board = asked(&bench, &["logs", &task.task.to_string()[..18]]);
    assert_eq!(String::from_utf8_lossy(&board.stdout), "früh\n");
    std::fs::write(&go, "").expect("go");
    let log = bench.core.log_of(task).await;
    let numbers: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert_eq!((log.text.len(), log.gaps), (6 + numbers.len() + 12, 0));
    // What two streams say at one moment has no order.
    let rest = log.text.replace("ünd €uro\n", "");
    assert!(rest == format!("früh\n{numbers}"), "{}", &rest[..200]);
    until("all to be gone", || entries(&bench, "logs").is_empty()).await;
    assert!(entries(&bench, "attempts").is_empty());
    // One that says nothing says that it said all.
    let silent = bench.core.run("true").await;
    let log = bench.core.log_of(silent).await;
    assert_eq!((log.upto, log.text.as_str()), (0, ""));
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_the_dark_hours_outlive_the_agent_and_their_tasks_folder() {
    let bench = Bench::new();
    let (running, _shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let go = bench.path("go");
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    let task = bench.core.run(&format!("{wait}; seq 1 9000; echo done >&2")).await;
    bench.core.started(task).await;
    bench.cut();
    std::fs::write(&go, "").expect("go");
    // Its end is in the database: of its folder nothing is needed but what it wrote.
    until("the log to be put away", || entries(&bench, "logs").len() == 1).await;
    until("the folder to go", || entries(&bench, "attempts").is_empty()).await;
    running.abort();
    let _ = running.await;

    let id = task.task.to_string();
    let last = asked(&bench, &["logs", &id, "--tail", "2", "--stream", "stdout"]);
    assert_eq!(String::from_utf8_lossy(&last.stdout), "8999\n9000\n");
    let json = asked(&bench, &["logs", "probe", "-o", "json", "--stream", "stderr"]);
    assert!(String::from_utf8_lossy(&json.stdout).contains(r#""stream":"stderr","text":"done\n""#));
    let unknown = asked(&bench, &["logs", "no-such-task"]);
    let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.status.code() == Some(1) && error.contains("ambit-agent tasks"), "{error}");

    bench.mend();
    let (running, shutdown) = bench.agent();
    let log = bench.core.log_of(task).await;
    assert_eq!((log.text.lines().count(), log.gaps), (9_001, 0));
    until("all to be gone", || entries(&bench, "logs").is_empty()).await;
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_fit_is_told_as_missing() {
    let mut bench = Bench::new();
    bench.tables = "[logs]\nattempt_bytes_max = 8192".to_owned();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    bench.core.see(|memory| memory.acknowledges = false);
    let task = bench.core.run("seq 1 30000").await;
    bench.core.finish_of(task).await;
    bench.core.see(|memory| memory.acknowledges = true);
    let log = bench.core.log_of(task).await;
    let written: u64 = (1..=30_000_u64).map(|number| number.to_string().len() as u64 + 1).sum();
    assert_eq!((log.upto, log.gaps + log.text.len() as u64), (written, written));
    assert!(log.gaps > written / 2 && log.text.ends_with("29999\n30000\n"), "{}", log.gaps);
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_follows_another_writes_on_where_that_ended() {
    let mut bench = Bench::new();
    bench.limits = "lonely_ms = 100".to_owned();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let (go, first) = (bench.path("go"), bench.path("first"));
    let script = format!(
        "until [ -e {} ]; do sleep 0.05; done; if [ -e {first} ]; then echo second; else \
         touch {first}; echo first; exit 9; fi",
        go.display(),
        first = first.display()
    );
    let retry = LocalRetry { failures_max: 1, delay_ms: 100, delay_ms_max: 100, losses_max: 0 };
    let task = bench.core.run_with(&script, |order| order.retry = retry).await;
    bench.core.started(task).await;
    bench.cut();
    std::fs::write(&go, "").expect("go");
    let kept = |task: AssignmentId| {
        let mut kept = entries(&bench, "logs");
        kept.sort();
        kept == [format!("{task}.0-6"), format!("{task}.6-13")]
    };
    until("both runs to be put away", || kept(task)).await;
    bench.mend();
    assert_eq!(bench.core.finish_of(task).await.end, End::Exited { code: 0 });
    let log = bench.core.log_of(task).await;
    assert_eq!((log.text.as_str(), log.gaps), ("first\nsecond\n", 0));
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_can_be_followed_on_the_board() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let go = bench.path("go");
    let script = format!("echo one; until [ -e {} ]; do sleep 0.05; done; echo two", go.display());
    let task = bench.core.run(&script).await;
    bench.core.started(task).await;
    bench.core.see(|memory| memory.acknowledges = false);
    let data = bench.data();
    let follower = tokio::task::spawn_blocking(move || {
        let mut words = Command::new(BINARY);
        words.args(["logs", &task.task.to_string(), "--follow"]).arg("--data").arg(data);
        words.output().expect("the program")
    });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    std::fs::write(&go, "").expect("go");
    let said = follower.await.expect("ends with the task");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "one\ntwo\n");
    shutdown.request();
    running.await.expect("ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_while_a_task_runs() {
    let bench = Bench::new();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let script = "echo '0.429 downloading' > $AMBIT_PROGRESS_FILE; sleep 600";
    let task = bench.core.run(script).await;
    let told = |memory: &crate::bench::Memory| {
        memory.progress.iter().any(|item| {
            let mark = &item.mark;
            let said = (mark.thousandths, mark.text.as_str());
            item.assignment == task && said == (Some(429), "downloading")
        })
    };
    bench.core.until("progress", told).await;
    let board = asked(&bench, &["tasks"]);
    let table = String::from_utf8_lossy(&board.stdout).into_owned();
    assert!(table.contains("running") && table.contains("42 % downloading"), "{table}");
    bench.core.see(|memory| {
        let reason = shared::report::StopReason::Canceled;
        memory.want(task, shared::wire::downlink::Want::Stop { reason });
    });
    bench.core.push().await;
    bench.core.finish_of(task).await;
    shutdown.request();
    running.await.expect("ends");
}

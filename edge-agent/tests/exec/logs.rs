//! What a task writes, kept on disk within bounds and readable at any time.

use std::path::PathBuf;

use edge_agent::exec::{
    ExecEventKind, ExecOrder, LOG_BYTES_MAX, LogPiece, LogReader, Signal, Stream,
};

use super::world::{Agent, World, block_on, command, id, kill, until};

fn segments(world: &World) -> Vec<PathBuf> {
    ["log.0", "log.1"].map(|name| world.dir(id(1)).path().join(name)).to_vec()
}

/// All that can be read, as text by stream, and how much is missing.
fn read(log: &mut LogReader) -> (String, String, u64) {
    let (mut out, mut err, mut missing, mut next) = (Vec::new(), Vec::new(), 0, 0);
    loop {
        let pieces = log.read_from(next, 10_000).expect("readable");
        if pieces.is_empty() {
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
            return (text(out), text(err), missing);
        }
        for piece in pieces {
            next = piece.end_offset();
            match piece {
                LogPiece::Data { stream: Stream::Stdout, bytes, .. } => out.extend(bytes),
                LogPiece::Data { stream: Stream::Stderr, bytes, .. } => err.extend(bytes),
                LogPiece::Gap { bytes, .. } => missing += bytes,
            }
        }
    }
}

async fn end(agent: &mut Agent) {
    agent.executor.stop(id(1), Signal::Kill);
    agent.ended().await;
}

#[test]
fn a_log_is_read_while_the_task_writes_and_after_its_end() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let script =
            "echo one; echo two >&2; while [ ! -e $W/go ]; do sleep 0.02; done; echo three";
        agent.start(&world.shell(1, script));
        agent.started().await;
        let mut log = world.log(1);
        until("both lines are there", || log.end_offset().expect("readable") == 8).await;
        assert_eq!(read(&mut log), ("one\n".to_owned(), "two\n".to_owned(), 0));
        assert!(!log.has_ended() && log.written_bytes().expect("readable") > 8);
        std::fs::write(world.path("go"), "").expect("write");
        let record = agent.ended().await;
        assert_eq!(record.log_end_offset, 14);
        let expected = ("one\nthree\n".to_owned(), "two\n".to_owned(), 0);
        assert_eq!(read(&mut log), expected);
        assert_eq!(read(&mut world.log(1)), expected);
        assert!(log.has_ended() && log.end_offset().expect("readable") == 14);
        assert_eq!(log.written_bytes().expect("readable"), record.written_bytes);
        // In parts, each with its place and its time.
        let parts = log.read_from(9, 3).expect("readable");
        let [LogPiece::Data { offset: 9, at, stream: Stream::Stdout, bytes }] = &parts[..] else {
            panic!("{parts:?}")
        };
        assert_eq!(bytes, b"hre");
        assert!((record.started_wall_ms..=record.ended_wall_ms).contains(&at.0));
        assert_eq!(log.read_from(14, 100).expect("readable"), []);
    });
}

#[test]
fn a_flood_leaves_its_end_and_a_gap_before_it() {
    block_on(async {
        let world = World::new();
        let script = "seq 1 300000; echo END >&2";
        let record = world.agent().run(&world.shell(1, script)).await;
        let all: String = (1..=300_000).map(|n| format!("{n}\n")).collect();
        let size: u64 =
            segments(&world).iter().map(|path| std::fs::metadata(path).expect("there").len()).sum();
        assert!(size <= LOG_BYTES_MAX, "{size}");
        let (out, err, missing) = read(&mut world.log(1));
        assert_eq!(err, "END\n");
        assert!(all.ends_with(&out) && out.len() as u64 > LOG_BYTES_MAX / 3, "{}", out.len());
        assert_eq!(missing as usize + out.len(), all.len());
        assert_eq!(record.log_end_offset, all.len() as u64 + 4);
        assert!(record.written_bytes > record.log_end_offset);
    });
}

#[test]
fn what_was_written_out_survives_a_killed_supervisor() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.start(&world.shell(1, "echo kept; sleep 1000"));
        agent.started().await;
        let mut log = world.log(1);
        until("it is on disk", || log.end_offset().expect("readable") == 5).await;
        kill(world.supervisor_of(1));
        assert_eq!(agent.next().await.kind, ExecEventKind::Gone);
        assert_eq!(read(&mut world.log(1)), ("kept\n".to_owned(), String::new(), 0));
        assert!(!log.has_ended());
    });
}

#[test]
fn a_silent_task_and_one_without_a_log_leave_no_files() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.run(&command(1, "true", &[])).await;
        assert!(segments(&world).iter().all(|path| !path.exists()));
        agent.executor.forget(id(1)).await.expect("forgotten");
        let order = ExecOrder { log_bytes_max: 0, ..world.shell(1, "echo some; echo more >&2") };
        let record = agent.run(&order).await;
        assert_eq!((&*record.stdout_tail, &*record.stderr_tail), ("some\n", "more\n"));
        assert!(segments(&world).iter().all(|path| !path.exists()));
        assert_eq!(read(&mut world.log(1)), (String::new(), String::new(), 10));
    });
}

#[test]
fn logs_are_switched_off_and_on_while_a_task_runs() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let script = "exec 2> /dev/null; for word in first second third; do \
                      while [ ! -e $W/$word ]; do sleep 0.02; done; echo $word; \
                      echo > $W/$word.said; done; while :; do sleep 0.02; done";
        agent.start(&world.shell(1, script));
        agent.started().await;
        let mut log = world.log(1);
        let go = |word: &str| std::fs::write(world.path(word), "").expect("write");
        go("first");
        until("it is on disk", || log.end_offset().expect("readable") == 6).await;
        agent.executor.runtime_dir().keep_logs(false).expect("off");
        go("second");
        until("it was said", || world.path("second.said").exists()).await;
        // Nothing shows when it is let go, except that it would have been written long ago.
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
        assert_eq!(log.end_offset().expect("readable"), 6);
        agent.executor.runtime_dir().keep_logs(true).expect("on");
        go("third");
        until("it is on disk", || log.end_offset().expect("readable") == 19).await;
        end(&mut agent).await;
        let (out, _, missing) = read(&mut log);
        // On a busy machine the second may still have waited when logs were on again.
        let expected = [("first\nthird\n", 7), ("first\nsecond\nthird\n", 0)];
        assert!(expected.contains(&(&*out, missing)), "{out}, {missing} missing");
    });
}

//! What is recorded of a task: how it ended, what it said, and that nothing of it is left.

use std::os::unix::fs::PermissionsExt;

use edge_agent::exec::{End, ExecEventKind, ExecOrder};

use super::world::{World, block_on, command, id, is_alive, pids};

#[test]
fn an_exit_code_and_both_outputs_are_recorded() {
    block_on(async {
        let world = World::new();
        let record = world.agent().run(&world.shell(1, "echo out; echo err >&2; exit 7")).await;
        assert_eq!(record.end, End::Exited { code: 7 });
        assert_eq!((record.stdout_tail.as_str(), record.stderr_tail.as_str()), ("out\n", "err\n"));
        assert!(!record.stdout_truncated && !record.stderr_truncated && !record.out_of_memory);
        assert!(record.started_wall_ms > 0 && record.ended_wall_ms >= record.started_wall_ms);
    });
}

#[test]
fn a_signal_is_recorded_as_a_signal() {
    block_on(async {
        let world = World::new();
        let record = world.agent().run(&world.shell(1, "kill -SEGV $$")).await;
        assert_eq!(record.end, End::Signaled { signal: 11 });
    });
}

#[test]
fn a_task_gets_its_environment_and_nothing_else() {
    block_on(async {
        let world = World::new();
        for program in ["env", "/usr/bin/env"] {
            let mut order = command(1, program, &[]);
            order.env.insert("RATE".to_owned(), "10".to_owned());
            let mut agent = world.agent();
            let record = agent.run(&order).await;
            agent.executor.forget(order.id).await.expect("forgotten");
            let mut lines: Vec<&str> = record.stdout_tail.lines().collect();
            lines.sort_unstable();
            let progress = world.runtime().path().join("attempts").join(id(1).to_string());
            let progress = format!("AMBIT_PROGRESS_FILE={}/progress", progress.display());
            assert_eq!(
                lines,
                [
                    "AMBIT_AGENT_ID=board-7",
                    "AMBIT_ATTEMPT=1",
                    &progress,
                    "AMBIT_TASK_ID=00000000-0000-0000-0000-000000000001",
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "RATE=10",
                ]
            );
        }
    });
}

#[test]
fn a_task_inherits_no_descriptors_and_no_signal_mask_and_leads_its_group() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let files = ["-E", "^Sig(Blk|Ign)", "/proc/self/status"];
        let masks = agent.run(&command(1, "grep", &files)).await.stdout_tail;
        for line in masks.lines() {
            let bits = line.split_whitespace().nth(1).expect("a mask");
            let bits = u64::from_str_radix(bits, 16).expect("hexadecimal");
            // Signals 32 and 33 belong to the C library, which sees to them itself.
            assert_eq!(bits & !0x1_8000_0000, 0, "{line}");
        }
        assert_eq!(masks.lines().count(), 2);
        // The fourth is that of the directory being listed.
        let listed = agent.run(&command(2, "ls", &["/proc/self/fd"])).await.stdout_tail;
        assert_eq!(listed, "0\n1\n2\n3\n");
        agent.start(&world.shell(3, "cut -d' ' -f1,5 /proc/$$/stat; readlink /proc/$$/fd/0; pwd"));
        let pid = agent.started().await;
        let work = world.dir(id(3)).path().join("work");
        assert_eq!(
            agent.ended().await.stdout_tail,
            format!("{pid} {pid}\n/dev/null\n{}\n", work.display())
        );
    });
}

#[test]
fn a_named_directory_is_used() {
    block_on(async {
        let world = World::new();
        let mut order = command(1, "pwd", &[]);
        order.dir = Some("/usr".to_owned());
        assert_eq!(world.agent().run(&order).await.stdout_tail, "/usr\n");
        assert!(!world.dir(id(1)).path().join("work").exists());
    });
}

#[test]
fn a_flood_of_output_stays_within_bounds_and_is_not_held_up() {
    block_on(async {
        let world = World::new();
        let script = "head -c 100000000 /dev/zero | tr '\\0' x; \
                      grep VmHWM /proc/$PPID/status >&2; echo END";
        let record = world.agent().run(&world.shell(1, script)).await;
        assert_eq!(record.end, End::Exited { code: 0 });
        assert!(record.stdout_truncated && record.stdout_tail.ends_with("xxxEND\n"));
        assert_eq!(record.stdout_tail.len(), 8192);
        let peak_kib: u64 =
            record.stderr_tail.split_whitespace().nth(1).expect("VmHWM").parse().expect("KiB");
        assert!(peak_kib < 16 * 1024, "the supervisor used {peak_kib} KiB");
    });
}

#[test]
fn a_tail_is_text_of_the_size_asked_for() {
    block_on(async {
        let world = World::new();
        let mut order = world.shell(1, "printf 'aä€€€'; printf '\\377\\376ok' >&2");
        order.stdout_tail_bytes = 7;
        let record = world.agent().run(&order).await;
        assert_eq!((record.stdout_tail.as_str(), record.stdout_truncated), ("€€", true));
        assert_eq!(record.stderr_tail, "\u{fffd}\u{fffd}ok");
    });
}

#[test]
fn nothing_a_task_started_outlives_it() {
    block_on(async {
        let world = World::new();
        // In the background, in a session of its own, and a daemon's double fork.
        let script = "sleep 1000 & echo $! >> $W/pids; \
                      setsid sleep 1000 & echo $! >> $W/pids; \
                      (setsid sh -c 'echo $$ >> $W/pids; exec sleep 1000' &) ; \
                      while [ $(wc -l < $W/pids) -lt 3 ]; do sleep 0.01; done";
        let record = world.agent().run(&world.shell(1, script)).await;
        assert_eq!(record.end, End::Exited { code: 0 });
        let left = pids(&world.text("pids"));
        assert_eq!(left.len(), 3);
        assert!(left.iter().all(|&pid| !is_alive(pid)), "{left:?}");
    });
}

#[test]
fn a_grandchild_that_holds_the_output_open_does_not_hold_up_the_end() {
    block_on(async {
        let world = World::new();
        let script = "(echo late; exec sleep 1000) & setsid sleep 1000 & echo done";
        let record = world.agent().run(&world.shell(1, script)).await;
        assert_eq!(record.end, End::Exited { code: 0 });
        assert!(record.stdout_tail.contains("done") && record.stdout_tail.contains("late"));
    });
}

#[test]
fn a_grandchild_that_never_stops_writing_does_not_hold_up_the_end() {
    block_on(async {
        let world = World::new();
        let record = world.agent().run(&world.shell(1, "yes & echo done >&2")).await;
        assert_eq!(record.end, End::Exited { code: 0 });
        assert_eq!(record.stderr_tail, "done\n");
    });
}

async fn spawn_failure(world: &World, order: &ExecOrder) -> String {
    let mut agent = world.agent();
    agent.start(order);
    let message = match agent.next().await.kind {
        ExecEventKind::SpawnFailed { message } => message,
        other => panic!("{other:?}"),
    };
    agent.executor.forget(order.id).await.expect("forgotten");
    message
}

#[test]
fn what_cannot_be_started_is_said_in_a_sentence() {
    block_on(async {
        let world = World::new();
        let plain = world.path("plain");
        std::fs::write(&plain, "echo").expect("write");
        let script = world.path("script");
        std::fs::write(&script, "#!/no/such/interpreter\n").expect("write");
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("chmod");
        let foreign = world.path("foreign");
        std::fs::write(&foreign, b"\x7fELF\x01\x01\x01nonsense").expect("write");
        std::fs::set_permissions(&foreign, PermissionsExt::from_mode(0o755)).expect("chmod");
        let text = |path: &std::path::Path| path.display().to_string();
        let at = |dir: &str| ExecOrder { dir: Some(dir.to_owned()), ..command(1, "true", &[]) };
        let mut named = command(1, "true", &[]);
        named.env.insert("A=B".to_owned(), String::new());
        let huge = "x".repeat(200 * 1024);
        for (order, expected) in [
            (command(1, "no-such-program", &[]), "was not found on this agent in `/usr/local/sbin"),
            (command(1, "/no/such/program", &[]), "`/no/such/program` does not exist"),
            (command(1, &text(&plain), &[]), "may not be executed by this agent; make it exec"),
            (command(1, &text(&script), &[]), "the interpreter or loader that it names does not"),
            (command(1, &text(&foreign), &[]), "not a program for this agent's processor"),
            (command(1, "/usr", &[]), "may not be executed"),
            (at("/no/such/dir"), "working directory `/no/such/dir` does not exist"),
            (at(&text(&plain)), "is not a directory"),
            (at("relative"), "is not an absolute path"),
            (command(1, "", &[]), "The command is empty"),
            (command(1, "a\0b", &[]), "zero byte"),
            (command(1, "true", &["a\0b"]), "zero byte"),
            (named, "variable name \"A=B\""),
            (command(1, "true", &[&huge]), "larger than this agent's system allows"),
        ] {
            let message = spawn_failure(&world, &order).await;
            assert!(message.contains(expected), "{message}");
        }
    });
}

#[test]
fn an_agent_without_its_binary_says_so() {
    block_on(async {
        let world = World::new();
        let missing = std::path::Path::new("/no/such/binary");
        let (executor, _events) =
            edge_agent::exec::Executor::new(world.root.path(), missing).expect("an executor");
        let error = executor.start(&command(1, "true", &[])).expect_err("no supervisor");
        assert!(error.message.contains("could not start the task's supervisor"), "{error}");
        assert!(executor.list().is_empty(), "nothing is left");
    });
}

#[test]
fn a_task_reads_the_event_that_it_answers_from_a_file_that_goes_with_it() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let event = "{\"door\": \"open\"}\u{fc}";
        let mut order = world.shell(1, "cat \"$AMBIT_EVENT\"");
        let dir = world.dir(order.id);
        let path = dir.event_path().to_string_lossy().into_owned();
        order.env.insert("AMBIT_EVENT".to_owned(), path);
        order.event = Some(event.into());
        assert_eq!(agent.run(&order).await.stdout_tail, event);
        agent.executor.forget(order.id).await.expect("forgotten");
        assert!(!dir.event_path().exists());
    });
}

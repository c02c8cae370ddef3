//! The process that forks supervisors: a short cut on which nothing depends.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use edge_agent::exec::{End, ExecEventKind, Found, Signal};

use rustix::process::{Pid, kill_process};

use super::world::{Agent, BINARY, World, block_on, command, id, is_alive, kill, until};

fn zygote_of(agent: &Agent) -> u32 {
    agent.executor.zygote().expect("a zygote")
}

#[test]
fn one_serves_all_and_each_attempt_has_a_supervisor_of_its_own() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        assert_eq!(agent.executor.zygote(), None, "none before it is needed");
        for task in 0..50 {
            agent.start(&world.shell(task, &format!("exit {task}")));
        }
        let zygote = zygote_of(&agent);
        let mut codes = BTreeMap::new();
        while codes.len() < 50 {
            let event = agent.next().await;
            if let ExecEventKind::Ended(record) = event.kind {
                codes.insert(event.id, record.end);
            }
        }
        let expected = (0..50).map(|task: u8| (id(task.into()), End::Exited { code: task.into() }));
        assert_eq!(codes, expected.collect());
        let supervisors: BTreeSet<u32> = (0..50).map(|task| world.supervisor_of(task)).collect();
        assert!(supervisors.len() == 50 && !supervisors.contains(&zygote));
        assert_eq!(zygote_of(&agent), zygote);
        until("none is left behind", || children_of(zygote).is_empty()).await;
    });
}

fn children_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs")
}

#[test]
fn nothing_of_it_or_of_the_agent_reaches_a_task() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        // The fourth is the folder that `ls` reads.
        let script = "ls /proc/self/fd | wc -l >$W/open; env >$W/env; cat >$W/read; \
                      grep -E 'Sig(Blk|Ign)' /proc/self/status >$W/signals; \
                      cut -d' ' -f6 /proc/self/stat >$W/session";
        for task in [1, 2] {
            let end = agent.run(&world.shell(task, script)).await.end;
            assert_eq!(end, End::Exited { code: 0 });
            assert_eq!((world.text("open").trim(), &*world.text("read")), ("4", ""));
            let (env, own) = (world.text("env"), ["PATH", "PWD", "W", "_", "OLDPWD", "SHLVL"]);
            let is_own = |name: &str| own.contains(&name) || name.starts_with("AMBIT_");
            let foreign = env.lines().find(|line| !line.split('=').next().is_some_and(is_own));
            assert_eq!(foreign, None);
            // Those from 32 on are the C library's own, or were ignored by who started the test.
            let signals = world.text("signals");
            let set = |line: &str| u64::from_str_radix(line.split(":\t").nth(1)?, 16).ok();
            let ours: Vec<u64> = signals.lines().filter_map(set).map(|set| set << 33).collect();
            assert_eq!(ours, [0, 0], "{signals}");
            assert_eq!(world.text("session").trim(), world.supervisor_of(task).to_string());
        }
    });
}

#[test]
fn its_death_takes_nothing_along_and_another_takes_its_place() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.start(&world.shell(1, "while [ ! -e $W/go ]; do sleep 0.02; done; exit 7"));
        agent.started().await;
        let first = zygote_of(&agent);
        kill(first);
        assert_eq!(agent.run(&world.shell(2, "exit 8")).await.end, End::Exited { code: 8 });
        assert_ne!(zygote_of(&agent), first);
        std::fs::write(world.path("go"), "").expect("written");
        assert_eq!(agent.ended().await.end, End::Exited { code: 7 });
    });
}

#[test]
fn one_that_does_not_answer_holds_nothing_up() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.run(&world.shell(1, "echo ran >>$W/count")).await;
        let first = zygote_of(&agent);
        stop(first);
        // What was asked of it meanwhile may have begun or not: it runs once.
        assert_eq!(
            agent.run(&world.shell(2, "echo ran >>$W/count")).await.end,
            End::Exited { code: 0 }
        );
        assert_ne!(zygote_of(&agent), first);
        assert!(!is_alive(first));
        assert_eq!(world.text("count"), "ran\nran\n");
    });
}

/// SIGSTOP to exactly one process.
fn stop(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, rustix::process::Signal::STOP).expect("stopped");
}

#[test]
fn it_ends_with_its_agent_and_what_it_forked_goes_on() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.start(&command(1, "/bin/sleep", &["600"]));
        agent.started().await;
        let zygote = zygote_of(&agent);
        drop(agent);
        assert!(!is_alive(zygote));
        let mut agent = world.agent();
        assert_eq!(agent.executor.adopt(id(1)).await, Found::Running);
        assert!(agent.executor.stop(id(1), Signal::Kill));
        agent.ended().await;
    });
}

#[test]
fn without_one_attempts_are_started_the_plain_way() {
    block_on(async {
        let world = World::new();
        // A program that is a supervisor and no zygote.
        let script = format!("#!/bin/sh\n[ $1 = zygote ] || exec {BINARY} \"$@\"\n");
        let program = world.path("program");
        std::fs::write(&program, script).expect("written");
        let made = Command::new("chmod").arg("+x").arg(&program).status();
        assert!(made.expect("chmod").success());
        let mut agent = super::world::agent_with(world.root.path(), &program);
        for task in [1, 2] {
            assert_eq!(agent.run(&world.shell(task, "exit 5")).await.end, End::Exited { code: 5 });
            assert_eq!(agent.executor.zygote(), None);
        }
    });
}

#[test]
fn called_by_hand_it_does_nothing() {
    let output = Command::new(BINARY).arg("zygote").stdin(Stdio::null()).output().expect("runs");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

//! Finding attempts again after the agent, its supervisor or the whole machine went down.

use std::process::{Child, Command, Stdio};

use edge_agent::exec::{ChildRecord, End, Found, Identity, Lock, Signal, Spec, kernel_boot_id};

use super::world::{World, agent_at, block_on, command, id, is_alive, kill, until};

const WAITS_FOR_GO: &str = "while [ ! -e $W/go ]; do sleep 0.02; done; echo went; exit 7";

/// Where the other agent process keeps its data.
const HELPER_DATA: &str = "AMBIT_TEST_HELPER_DATA";

/// Not a test: the agent process that the next test kills.
#[test]
#[ignore = "run by another test as a process of its own"]
fn agent_process_to_be_killed() {
    let Some(data) = std::env::var_os(HELPER_DATA) else {
        return;
    };
    let data = std::path::PathBuf::from(data);
    block_on(async {
        let mut agent = agent_at(&data);
        let mut order = command(1, "/bin/sh", &["-c", WAITS_FOR_GO]);
        order.env.insert("W".to_owned(), data.display().to_string());
        agent.start(&order);
        agent.started().await;
        std::fs::write(data.join("ready"), "x").expect("write");
        std::future::pending::<()>().await;
    });
}

#[test]
fn an_exit_code_survives_the_agents_death() {
    block_on(async {
        let world = World::new();
        let mut helper = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "adopt::agent_process_to_be_killed", "--ignored", "--nocapture"])
            .env(HELPER_DATA, world.root.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("the other agent");
        until("the task runs", || world.path("ready").exists()).await;
        helper.kill().expect("SIGKILL");
        helper.wait().expect("reaped");
        let mut agent = world.agent();
        assert_eq!(agent.executor.adopt(id(1)).await, Found::Running);
        assert_eq!(agent.executor.adopt(id(1)).await, Found::Running, "asking twice is fine");
        std::fs::write(world.path("go"), "").expect("write");
        let record = agent.ended().await;
        assert_eq!((record.end, record.stdout_tail.as_str()), (End::Exited { code: 7 }, "went\n"));
    });
}

#[test]
fn an_adopted_task_can_be_stopped() {
    block_on(async {
        let world = World::new();
        let mut first = world.agent();
        first.start(
            &world.shell(1, "trap 'exit 5' TERM; echo > $W/up; while :; do sleep 0.02; done"),
        );
        first.started().await;
        until("it is up", || world.path("up").exists()).await;
        drop(first);
        let mut second = world.agent();
        assert_eq!(second.executor.adopt(id(1)).await, Found::Running);
        assert!(second.executor.stop(id(1), Signal::Term));
        assert_eq!(second.ended().await.end, End::Exited { code: 5 });
    });
}

#[test]
fn an_end_that_nobody_saw_is_found() {
    block_on(async {
        let world = World::new();
        let mut first = world.agent();
        first.start(&world.shell(1, WAITS_FOR_GO));
        first.started().await;
        drop(first);
        std::fs::write(world.path("go"), "").expect("write");
        until("it ended", || world.dir(id(1)).has_exit()).await;
        match world.agent().executor.adopt(id(1)).await {
            Found::Ended(record) => assert_eq!(record.end, End::Exited { code: 7 }),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_supervisor_killed_while_no_agent_looked_is_gone_with_its_task() {
    block_on(async {
        let world = World::new();
        let mut first = world.agent();
        first.start(&world.shell(1, "sleep 1000 & echo $! > $W/pid; wait"));
        first.started().await;
        until("it is up", || !world.text("pid").is_empty()).await;
        drop(first);
        let supervisor = world.supervisor_of(1);
        kill(supervisor);
        let grandchild: u32 = world.text("pid").trim().parse().expect("a pid");
        until("the supervisor is dead", || !is_alive(supervisor)).await;
        assert_eq!(world.agent().executor.adopt(id(1)).await, Found::Gone);
        assert!(!is_alive(grandchild));
    });
}

/// A lock as an earlier supervisor would have left it.
fn lock(identity: Identity, boot_id: &str) -> Lock {
    Lock::Supervisor {
        supervisor_pid: identity.pid,
        supervisor_start_ticks: identity.start_ticks,
        boot_id: boot_id.to_owned(),
    }
}

#[test]
fn a_process_that_merely_has_the_same_id_is_left_alone() {
    block_on(async {
        let world = World::new();
        let stranger = Command::new("setsid")
            .args(["sleep", "1000"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sleep");
        let stranger = Ends(stranger);
        let pid = stranger.0.id();
        until("it has its session", || {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|c| c.contains("1000\0") && !c.contains("setsid"))
        })
        .await;
        let now = Identity::of(pid).expect("alive");
        let before = Identity { start_ticks: now.start_ticks - 1, ..now };
        let dir = world.prepare(&command(1, "true", &[]));
        dir.take_lock(&lock(before, &kernel_boot_id().expect("/proc"))).expect("lock");
        dir.write_child(&ChildRecord { pid, start_ticks: before.start_ticks }).expect("child");
        assert_eq!(world.agent().executor.adopt(id(1)).await, Found::Gone);
        assert!(is_alive(pid));
    });
}

/// A process that ends with the test, also with one that fails.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn after_a_restart_of_the_machine_nothing_runs_and_nothing_is_believed_unstarted() {
    block_on(async {
        let world = World::new();
        let own = Identity::own().expect("/proc");
        // Locked in another boot: even if a process looks the same, it is another.
        world.prepare(&command(1, "true", &[])).take_lock(&lock(own, "another")).expect("lock");
        // The lock itself may have been lost.
        let order = command(2, "true", &[]);
        world
            .prepare(&order)
            .write_spec(&Spec { boot_id: "another".to_owned(), order, runtime: None })
            .expect("spec");
        // So may the directory; this agent never started anything in this boot.
        let agent = world.agent();
        for task in 1..=3 {
            assert_eq!(agent.executor.adopt(id(task)).await, Found::Gone, "{task}");
        }
        drop(agent);
        // Once something was started in this boot, a missing directory tells the truth.
        let mut agent = world.agent();
        agent.run(&command(4, "true", &[])).await;
        drop(agent);
        assert_eq!(world.agent().executor.adopt(id(3)).await, Found::NeverStarted);
    });
}

#[test]
fn damaged_files_are_gone_and_never_a_panic() {
    block_on(async {
        let world = World::new();
        let mut task = 0;
        for text in ["", "{", "{}", "null", "{\"holder\":\"x\"}", "{\"holder\":\"supervisor\"}"] {
            task += 1;
            let dir = world.prepare(&command(task, "true", &[]));
            std::fs::write(dir.path().join("lock"), text).expect("write");
            assert_eq!(world.agent().executor.adopt(id(task)).await, Found::Gone, "{text:?}");
        }
        let dir = world.prepare(&command(99, "true", &[]));
        let dead = Identity { pid: 1, start_ticks: 0 };
        dir.take_lock(&lock(dead, &kernel_boot_id().expect("/proc"))).expect("lock");
        std::fs::write(dir.path().join("exit.json"), "{\"end\":").expect("write");
        assert_eq!(world.agent().executor.adopt(id(99)).await, Found::Gone);
    });
}

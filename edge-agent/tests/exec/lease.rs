//! Leases: a task that must not run unheard ends in time, whoever is left to see to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use edge_agent::exec::{End, ExecEventKind, ExecOrder, Found, Lease, LeaseFile, Signal};

use super::world::{
    World, agent_at, block_on, boottime_ms, command, id, is_alive, pids, supervisor, until,
};

/// Where the other agent process keeps its data.
const HELPER_DATA: &str = "AMBIT_TEST_LEASE_DATA";

/// Long enough to start a task in on a busy machine.
const ROOM_MS: u64 = 4_000;

/// Where Debian keeps what makes programs believe in another time.
const FAKETIME: &str = "faketime/libfaketime.so.1";

/// A lease that was renewed just now.
fn lease(lease_ms: u64) -> Option<Lease> {
    Some(Lease { lease_ms, grace_ms: 500, margin_ms: 500, renewed_ms: boottime_ms() })
}

/// Ignores being asked to end, and has children in sessions of their own.
fn stubborn(world: &Path) -> ExecOrder {
    let script = "trap '' TERM; setsid sleep 1000 & echo $! >> $W/pids; \
                  (setsid sh -c 'trap \"\" TERM; echo $$ >> $W/pids; sleep 1000' &); \
                  echo $$ >> $W/pids; while :; do sleep 0.05; done";
    let mut order = command(1, "/bin/sh", &["-c", script]);
    order.env.insert("W".to_owned(), world.display().to_string());
    order
}

/// Not a test: the agent process that the next test kills.
#[test]
#[ignore = "run by another test as a process of its own"]
fn agent_process_to_be_killed() {
    let Some(data) = std::env::var_os(HELPER_DATA).map(PathBuf::from) else {
        return;
    };
    block_on(async {
        let mut agent = agent_at(&data);
        let obedient = command(2, "sleep", &["1000"]);
        for order in [stubborn(&data), obedient] {
            agent.start(&ExecOrder { lease: lease(ROOM_MS), ..order });
            agent.started().await;
        }
        std::fs::write(data.join("ready"), "x").expect("write");
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_lease_runs_out_also_when_the_agent_is_gone() {
    block_on(async {
        let world = World::new();
        let mut helper = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "lease::agent_process_to_be_killed", "--ignored", "--nocapture"])
            .env(HELPER_DATA, world.root.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("the other agent");
        until("the tasks run", || world.path("ready").exists()).await;
        helper.kill().expect("SIGKILL");
        helper.wait().expect("reaped");
        until("they ended", || [1, 2].iter().all(|&task| world.dir(id(task)).has_exit())).await;
        let left = pids(&world.text("pids"));
        assert_eq!(left.len(), 3);
        assert!(left.iter().all(|&pid| !is_alive(pid)), "{left:?}");
        let agent = world.agent();
        for task in [1, 2] {
            match agent.executor.adopt(id(task)).await {
                Found::Ended(record) => {
                    assert_eq!(record.end, End::LeaseEnded { ran: true }, "{task}");
                    assert!(!record.out_of_memory);
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn a_task_is_asked_before_it_is_killed() {
    block_on(async {
        let world = World::new();
        let script = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.02; done";
        let lease =
            Lease { grace_ms: 60_000, lease_ms: 60_500 + ROOM_MS, ..lease(0).expect("one") };
        let record =
            world.agent().run(&ExecOrder { lease: Some(lease), ..world.shell(1, script) }).await;
        assert_eq!((record.end, &*record.stdout_tail), (End::LeaseEnded { ran: true }, "bye\n"));
    });
}

#[test]
fn a_renewal_keeps_it_alive() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let Some(at_first) = lease(ROOM_MS) else { unreachable!() };
        // Long enough from its renewal on that a busy machine does not end it after all.
        let longer = Lease { renewed_ms: at_first.renewed_ms.saturating_sub(60_000), ..at_first };
        let lease_ms = at_first.renewed_ms - longer.renewed_ms + ROOM_MS;
        let order = command(1, "sleep", &["1000"]);
        agent.start(&ExecOrder { lease: Some(Lease { lease_ms, ..longer }), ..order });
        let pid = agent.started().await;
        agent.executor.renew_leases(boottime_ms()).expect("renewed");
        let end_ms = at_first.renewed_ms + ROOM_MS;
        until("the first lease is over", || boottime_ms() > end_ms + 1_000).await;
        if lease_ms > 3 * ROOM_MS {
            assert!(is_alive(pid), "it was renewed");
        } else {
            eprintln!("the machine has just booted: a lease as long as needed is not possible yet");
        }
        agent.executor.stop(id(1), Signal::Kill);
        assert_ne!(agent.ended().await.end, End::Exited { code: 0 });
    });
}

#[test]
fn a_task_whose_lease_is_over_is_not_started() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let over = [
            Lease { lease_ms: 100, grace_ms: 500, margin_ms: 500, renewed_ms: boottime_ms() },
            Lease { lease_ms: 1, grace_ms: 0, margin_ms: 0, renewed_ms: 0 },
        ];
        for (task, lease) in (1..).zip(over) {
            agent.start(&ExecOrder { lease: Some(lease), ..world.shell(task, "echo > $W/ran") });
            let kind = agent.next().await.kind;
            let ExecEventKind::Ended(record) = kind else { panic!("{kind:?}") };
            assert_eq!(record.end, End::LeaseEnded { ran: false });
        }
        assert!(!world.path("ran").exists());
        // The same without room, but renewed while the lease still held.
        let now_ms = boottime_ms();
        agent.executor.renew_leases(now_ms).expect("renewed");
        let renewed_ms = now_ms.saturating_sub(59_900);
        let late = Lease { lease_ms: 60_000, grace_ms: 1_000, margin_ms: 0, renewed_ms };
        let record = agent.run(&ExecOrder { lease: Some(late), ..command(9, "true", &[]) }).await;
        assert_eq!(record.end, End::Exited { code: 0 });
    });
}

#[test]
fn what_ends_by_itself_did_not_end_by_its_lease() {
    block_on(async {
        let world = World::new();
        let order = world.shell(1, "echo done; exit 3");
        let record = world.agent().run(&ExecOrder { lease: lease(600_000), ..order }).await;
        assert_eq!((record.end, &*record.stdout_tail), (End::Exited { code: 3 }, "done\n"));
    });
}

#[test]
fn leases_are_renewed_wherever_their_supervisors_look() {
    block_on(async {
        let world = World::new();
        let other = world.path("other");
        let order = ExecOrder { lease: lease(600_000), ..command(1, "sleep", &["1000"]) };
        let dir = world.prepare_with(&order, &other);
        let mut task = supervisor(&dir).stdout(Stdio::null()).spawn().expect("a supervisor");
        until("it runs", || dir.read_child().is_ok()).await;
        let mut agent = world.agent();
        assert_eq!(agent.executor.adopt(id(1)).await, Found::Running);
        let now_ms = boottime_ms();
        agent.executor.renew_leases(now_ms).expect("renewed");
        for place in [other.as_path(), agent.executor.runtime_dir().path()] {
            assert_eq!(LeaseFile::at(place).read(), Some(now_ms), "{}", place.display());
        }
        agent.executor.stop(id(1), Signal::Kill);
        assert_eq!(agent.ended().await.end, End::Signaled { signal: 9 });
        // The agent may have reaped it, since they are one process here.
        let _ = task.wait();
    });
}

#[test]
fn a_board_that_believes_in_1970_keeps_its_leases() {
    let places = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    let library = places.map(|place| place.path().join(FAKETIME)).find(|path| path.exists());
    let Some(library) = library else {
        eprintln!("libfaketime is not installed (Debian: faketime), so no clock was set to 1970");
        return;
    };
    block_on(async {
        let world = World::new();
        let run = |task, lease| {
            let order = ExecOrder { lease, ..command(task, "sleep", &["1000"]) };
            let dir = world.prepare(&order);
            let child = supervisor(&dir)
                .env("LD_PRELOAD", &library)
                .env("FAKETIME", "@1970-01-01 12:00:00")
                .env("TZ", "UTC")
                .stdout(Stdio::null())
                .spawn()
                .expect("a supervisor");
            (dir, child)
        };
        let (short, mut first) = run(1, lease(ROOM_MS));
        let (long, mut second) = run(2, lease(600_000));
        until("the short one is over", || short.has_exit()).await;
        let record = short.read_exit().expect("an outcome");
        assert_eq!(record.end, End::LeaseEnded { ran: true });
        assert!((0..86_400_000).contains(&record.started_wall_ms), "{record:?}");
        assert!(!long.has_exit() && is_alive(long.read_child().expect("a child").pid));
        let _ = first.wait();
        let mut agent = world.agent();
        assert_eq!(agent.executor.adopt(id(2)).await, Found::Running);
        agent.executor.stop(id(2), Signal::Kill);
        assert_eq!(agent.ended().await.end, End::Signaled { signal: 9 });
        let _ = second.wait();
    });
}

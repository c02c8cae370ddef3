//! An attempt runs at most once, whoever starts it, however often, and in whatever order.

use std::process::Stdio;

use edge_agent::exec::{EXIT_TAKEN, End, ExecEventKind, Found};

use super::world::{World, block_on, command, id, supervise, supervisor, until};

const COUNTS: &str = "echo ran >> $W/count";

#[test]
fn starting_twice_runs_once() {
    block_on(async {
        let world = World::new();
        let order = world.shell(1, COUNTS);
        let mut first = world.agent();
        let mut second = world.agent();
        first.start(&order);
        first.start(&order);
        second.start(&order);
        // Whichever supervisor was first ran it; both agents hear of the same end.
        for agent in [&mut first, &mut second] {
            let mut kind = agent.next().await.kind;
            if let ExecEventKind::Started { .. } = kind {
                kind = agent.next().await.kind;
            }
            let ExecEventKind::Ended(record) = kind else { panic!("not ended: {kind:?}") };
            assert_eq!(record.end, End::Exited { code: 0 });
        }
        // Long after the end, too, and in a later agent.
        first.start(&order);
        assert_eq!(first.ended().await.end, End::Exited { code: 0 });
        let mut third = world.agent();
        third.start(&order);
        assert_eq!(third.ended().await.end, End::Exited { code: 0 });
        assert_eq!(world.text("count"), "ran\n");
    });
}

#[test]
fn of_many_supervisors_one_runs_the_attempt() {
    let world = World::new();
    let dir = world.prepare(&world.shell(1, COUNTS));
    let all: Vec<_> = (0..12)
        .map(|_| supervisor(&dir).stdout(Stdio::null()).spawn().expect("a supervisor"))
        .collect();
    let codes: Vec<_> =
        all.into_iter().map(|mut child| child.wait().expect("an end").code()).collect();
    assert_eq!(codes.iter().filter(|&&code| code == Some(0)).count(), 1, "{codes:?}");
    let taken = Some(i32::from(EXIT_TAKEN));
    assert_eq!(codes.iter().filter(|&&code| code == taken).count(), 11, "{codes:?}");
    assert_eq!(world.text("count"), "ran\n");
}

#[test]
fn a_withdrawn_attempt_is_not_run_by_a_late_supervisor() {
    block_on(async {
        let world = World::new();
        let order = world.shell(1, COUNTS);
        let dir = world.prepare(&order);
        // An agent of this boot was here before.
        world.agent().run(&command(2, "true", &[])).await;
        let mut agent = world.agent();
        assert_eq!(agent.executor.adopt(id(1)).await, Found::NeverStarted);
        assert_eq!(agent.executor.adopt(id(1)).await, Found::NeverStarted, "and that stays so");
        let late = supervise(&dir);
        assert_eq!(late.status.code(), Some(i32::from(EXIT_TAKEN)));
        assert_eq!(late.stdout, b"taken\n");
        assert_eq!(world.text("count"), "");
        // Starting it anew is possible, and still once.
        assert_eq!(agent.run(&order).await.end, End::Exited { code: 0 });
        assert_eq!(supervise(&dir).status.code(), Some(i32::from(EXIT_TAKEN)));
        assert_eq!(world.text("count"), "ran\n");
    });
}

#[test]
fn a_forgotten_attempt_is_not_run_by_a_late_supervisor() {
    block_on(async {
        let world = World::new();
        let dir = world.prepare(&world.shell(1, COUNTS));
        world.agent().executor.forget(id(1)).await.expect("forgotten");
        assert!(!supervise(&dir).status.success());
        assert_eq!(world.text("count"), "");
        assert!(!dir.path().exists());
    });
}

#[test]
fn withdrawing_and_taking_at_once_agree_on_who_was_first() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.run(&command(1000, "true", &[])).await;
        for task in 1..=60 {
            let order = world.shell(task, &format!("echo ran >> $W/count{task}"));
            let dir = world.prepare(&order);
            let mut late = supervisor(&dir).stdout(Stdio::null()).spawn().expect("a supervisor");
            // Give the supervisor a different head start each time.
            tokio::time::sleep(std::time::Duration::from_micros(50 * task as u64)).await;
            let found = agent.executor.adopt(id(task)).await;
            let code = late.wait().expect("an end").code();
            let ran = world.text(&format!("count{task}"));
            match found {
                Found::NeverStarted => {
                    assert_eq!((ran.as_str(), code), ("", Some(i32::from(EXIT_TAKEN))));
                }
                Found::Running => {
                    let event = agent.next().await;
                    assert!(matches!(event.kind, ExecEventKind::Ended(_)), "{event:?}");
                    assert_eq!((ran.as_str(), code), ("ran\n", Some(0)));
                }
                Found::Ended(_) => assert_eq!((ran.as_str(), code), ("ran\n", Some(0))),
                Found::Gone => panic!("nobody was killed"),
            }
        }
    });
}

#[test]
fn a_forgotten_attempt_can_be_run_anew_at_once() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        // Much to remove, which must not hit what the next run makes.
        let script = "echo ran >> $W/count; mkdir d; cd d; seq 1 300 | xargs touch; sleep 0.1; \
                      ls | wc -l";
        for run in 1..=5 {
            let record = agent.run(&world.shell(1, script)).await;
            assert_eq!((record.end, &*record.stdout_tail), (End::Exited { code: 0 }, "300\n"));
            agent.executor.forget(id(1)).await.expect("forgotten");
            assert!(agent.executor.list().is_empty(), "run {run}");
        }
        assert_eq!(world.text("count").lines().count(), 5);
        // What an agent that went down did not remove, the next one does.
        std::fs::create_dir_all(world.path("attempts/gone.1.0/work")).expect("create");
        let later = world.agent();
        until("it is removed", || {
            let left = std::fs::read_dir(world.path("attempts")).expect("a folder");
            left.flatten().all(|entry| !entry.file_type().is_ok_and(|kind| kind.is_dir()))
        })
        .await;
        drop(later);
    });
}

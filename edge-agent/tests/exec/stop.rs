//! Ending tasks, whoever asks and whenever.

use edge_agent::exec::{End, ExecEventKind, ExecutorError, Signal};

use super::world::{World, block_on, command, id, is_alive, kill, pids, until};

const IGNORES_TERM: &str = "trap '' TERM; echo up > $W/up; while :; do sleep 0.05; done";

#[test]
fn a_task_may_react_to_being_asked() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let script = "trap 'echo bye; exit 3' TERM; echo up > $W/up; while :; do sleep 0.05; done";
        agent.start(&world.shell(1, script));
        agent.started().await;
        until("it is up", || !world.text("up").is_empty()).await;
        assert!(agent.executor.stop(id(1), Signal::Term));
        let record = agent.ended().await;
        assert_eq!((record.end, record.stdout_tail.as_str()), (End::Exited { code: 3 }, "bye\n"));
    });
}

#[test]
fn a_task_that_does_not_want_to_end_is_killed() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.start(&world.shell(1, IGNORES_TERM));
        let pid = agent.started().await;
        until("it is up", || !world.text("up").is_empty()).await;
        assert!(agent.executor.stop(id(1), Signal::Term));
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert!(is_alive(pid), "it ignores SIGTERM");
        assert!(agent.executor.stop(id(1), Signal::Kill));
        let record = agent.ended().await;
        assert_eq!(record.end, End::Signaled { signal: 9 });
        assert!(!record.out_of_memory, "we killed it");
        assert!(!agent.executor.stop(id(1), Signal::Kill), "nothing is left to stop");
    });
}

#[test]
fn a_signal_sent_before_the_task_runs_is_not_lost() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        for (task, signal) in (1..20).zip([Signal::Term, Signal::Kill].into_iter().cycle()) {
            agent.start(&command(task, "sleep", &["1000"]));
            assert!(agent.executor.stop(id(task), signal));
            agent.started().await;
            let number = if signal == Signal::Term { 15 } else { 9 };
            assert_eq!(agent.ended().await.end, End::Signaled { signal: number });
        }
    });
}

#[test]
fn a_paused_task_can_be_asked_to_end() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.start(&world.shell(1, "kill -STOP $$"));
        agent.started().await;
        agent.executor.stop(id(1), Signal::Term);
        // Whichever comes first, the pause or the signal, the end is the same.
        assert_eq!(agent.ended().await.end, End::Signaled { signal: 15 });
    });
}

#[test]
fn a_killed_supervisor_takes_the_task_along() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let script = "sleep 1000 & echo $! >> $W/pids; echo $$ >> $W/pids; sleep 1000";
        agent.start(&world.shell(1, script));
        agent.started().await;
        until("both are up", || world.text("pids").lines().count() == 2).await;
        kill(world.supervisor_of(1));
        assert_eq!(agent.next().await.kind, ExecEventKind::Gone);
        assert!(pids(&world.text("pids")).iter().all(|&pid| !is_alive(pid)));
    });
}

#[test]
fn what_runs_is_not_forgotten_and_what_ended_is() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.start(&world.shell(1, "mkdir d; echo x > d/f; chmod 500 d; exec sleep 1000"));
        agent.started().await;
        let refused = agent.executor.forget(id(1)).await;
        assert!(matches!(refused, Err(ExecutorError::StillRunning { .. })));
        assert_eq!(agent.executor.list(), [id(1)]);
        agent.executor.stop(id(1), Signal::Kill);
        agent.ended().await;
        agent.executor.forget(id(1)).await.expect("forgotten");
        until("the directory is gone", || !world.dir(id(1)).path().exists()).await;
        agent.executor.forget(id(1)).await.expect("forgetting nothing is fine");
    });
}

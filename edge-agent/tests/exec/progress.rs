//! What tasks say of how far they are.

use edge_agent::exec::{ExecOrder, Progress, Signal};

use super::world::{World, block_on, command, id, until};

#[test]
fn progress_is_told_once_and_ends_with_the_attempt() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let script = "echo '0.25 a quarter' > $AMBIT_PROGRESS_FILE; \
                      while [ ! -e $W/go ]; do sleep 0.02; done; \
                      echo '0.50' >> $AMBIT_PROGRESS_FILE; echo '7 nonsense' >> $AMBIT_PROGRESS_FILE; \
                      while [ ! -e $W/on ]; do sleep 0.02; done; \
                      echo 'nearly there' > $AMBIT_PROGRESS_FILE.new; \
                      mv $AMBIT_PROGRESS_FILE.new $AMBIT_PROGRESS_FILE; sleep 1000";
        agent.start(&world.shell(1, script));
        agent.start(&command(2, "sleep", &["1000"]));
        agent.started().await;
        agent.started().await;
        let mut watch = agent.executor.progress_watch();
        let mut said = Vec::new();
        for (next, file) in [(Some(0.25), "go"), (Some(0.5), "on"), (None, "end")] {
            until("it says something", || {
                said = watch.poll([id(1), id(2), id(3)]);
                !said.is_empty()
            })
            .await;
            let [(attempt, Progress { fraction, text })] = &said[..] else { panic!("{said:?}") };
            assert_eq!((*attempt, *fraction), (id(1), next));
            let texts = [(Some(0.25), "a quarter"), (Some(0.5), ""), (None, "nearly there")];
            assert!(texts.contains(&(*fraction, text)), "{text}");
            assert_eq!(watch.poll([id(1), id(2)]), []);
            std::fs::write(world.path(file), "").expect("write");
        }
        // Who was not asked for is forgotten, and told anew.
        assert_eq!(watch.poll([id(2)]), []);
        assert_eq!(watch.poll([id(1)]), said);
        // A later agent process hears of it as well.
        let later = world.agent();
        assert_eq!(later.executor.progress_watch().poll([id(1)]), said);
        let place = world.runtime().path().join("attempts").join(id(1).to_string());
        assert!(place.join("progress").exists());
        for task in [1, 2] {
            agent.executor.stop(id(task), Signal::Kill);
            agent.ended().await;
        }
        agent.executor.forget(id(1)).await.expect("forgotten");
        assert!(!place.exists());
    });
}

#[test]
fn a_task_cannot_choose_another_place_for_its_progress() {
    block_on(async {
        let world = World::new();
        let mut order = world.shell(1, "echo 1 > $AMBIT_PROGRESS_FILE");
        let elsewhere = world.path("elsewhere");
        let name = "AMBIT_PROGRESS_FILE".to_owned();
        order.env.insert(name, elsewhere.display().to_string());
        let mut agent = world.agent();
        agent.run(&order).await;
        assert!(!elsewhere.exists());
        let done = Progress { fraction: Some(1.0), text: String::new() };
        assert_eq!(agent.executor.progress_watch().poll([id(1)]), [(id(1), done)]);
    });
}

#[test]
fn what_nobody_needs_any_more_is_cleared_away() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        agent.run(&world.shell(1, "echo 1 > $AMBIT_PROGRESS_FILE")).await;
        let runtime = world.runtime();
        drop(agent);
        assert!(runtime.path().join("attempts").join(id(1).to_string()).exists());
        // The agent lost its data folder.
        std::fs::remove_dir_all(world.path("attempts")).expect("remove");
        let agent = world.agent();
        assert!(!runtime.path().join("attempts").join(id(1).to_string()).exists());
        agent.executor.renew_leases(1).expect("renewed");
        drop(agent);
        assert!(!runtime.path().exists(), "nothing is left when nothing runs");
        // And is made anew when it is needed.
        let record = world
            .agent()
            .run(&ExecOrder { id: id(2), ..world.shell(2, "echo 1 > $AMBIT_PROGRESS_FILE") })
            .await;
        assert_eq!(record.stderr_tail, "");
    });
}

//! How many tasks a second go through the whole path. Prints, asserts no time.

use std::time::Instant;

use edge_agent::exec::{End, ExecEventKind};

use super::world::{World, block_on, command, id};

/// Tasks in all, and at a time.
const TASKS: u128 = 3000;
const AT_A_TIME: u128 = 16;

#[test]
#[ignore = "a measurement; run it with --release --ignored --nocapture"]
fn tasks_a_second() {
    block_on(async {
        let world = World::new();
        let mut agent = world.agent();
        let began = Instant::now();
        let mut next = 0;
        let mut done = 0;
        while done < TASKS {
            while next < TASKS && next - done < AT_A_TIME {
                next += 1;
                agent.start(&command(next, "/bin/true", &[]));
            }
            let event = agent.next().await;
            if let ExecEventKind::Ended(record) = event.kind {
                assert_eq!(record.end, End::Exited { code: 0 });
                agent.executor.forget(event.id).await.expect("forgotten");
                done += 1;
            }
        }
        assert!(agent.executor.list().is_empty() && !world.dir(id(1)).path().exists());
        let seconds = began.elapsed().as_secs_f64();
        println!("{TASKS} tasks in {seconds:.2} s: {:.0} a second", 3000.0 / seconds);
    });
}

//! When the flash was written enough for today, what no promise depends on is not written; what
//! tasks are to do and how they ended is.

use std::time::Duration;

use edge_agent::config::database_in;
use edge_agent::store::Reader;

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_budget_is_used_up_logs_are_not_kept_and_outcomes_are() {
    let mut bench = Bench::new();
    bench.tables = "[flash]\nbytes_per_day = 1048576\n[logs]\nattempt_bytes_max = 65536".to_owned();
    let (running, shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    // Far more than is kept: all of it was written, however much the core has had before it went.
    let loud = bench.core.run("seq 1 400000").await;
    bench.core.finish_of(loud).await;
    let log = bench.core.log_of(loud).await;
    let whole: usize = (1..=400_000).map(|number: u32| number.to_string().len() + 1).sum();
    assert_eq!(
        log.text.len() as u64 + log.gaps,
        whole as u64,
        "each byte came, or is told to be gone"
    );
    assert!(log.text.ends_with("400000\n"));

    let begun = std::time::Instant::now();
    let lost = loop {
        let next = bench.core.run("echo some words").await;
        let finish = bench.core.finish_of(next).await;
        assert_eq!(finish.output.stdout_tail, "some words\n", "the outcome has them");
        let log = bench.core.log_of(next).await;
        if log.text.is_empty() {
            break log;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "logs are kept as before");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert_eq!((lost.upto, lost.gaps), (11, 11), "it is told that they are missing");
    shutdown.request();
    running.await.expect("ends");
    let glance = Reader::open(&database_in(&bench.data())).and_then(|mut it| it.glance());
    let flash = glance.expect("a database").flash.expect("counted");
    assert!(flash.bytes >= 1_048_576 && flash.day > 20_000, "{flash:?}");
    // The next start knows it at once.
    let (running, shutdown) = bench.agent();
    let next = bench.core.run("echo more").await;
    assert_eq!(bench.core.log_of(next).await.gaps, 5);
    shutdown.request();
    running.await.expect("ends");
}

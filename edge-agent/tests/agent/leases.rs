//! Tasks under a lease: they run on while the core answers, and end in time when nobody renews it,
//! also when the agent itself is gone.

use std::time::Duration;

use shared::report::{End, StopReason};

use crate::bench::Bench;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_under_a_lease_runs_while_it_is_renewed_and_ends_without_its_agent() {
    let bench = Bench::new();
    let (running, _shutdown) = bench.agent();
    bench.core.until("hello", |memory| !memory.hellos.is_empty()).await;
    let evidence = bench.path("evidence");
    let script = format!("while :; do echo alive >> {}; sleep 0.1; done", evidence.display());
    let lease = |order: &mut shared::wire::downlink::Order| {
        (order.lease_ms, order.grace_ms) = (Some(6_000), 500);
    };
    let task = bench.core.run_with(&script, lease).await;
    bench.core.started(task).await;
    // Several leases long.
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(bench.core.see(|memory| memory.finish_of(task)).is_none(), "it was renewed");

    running.abort();
    let _ = running.await;
    let length = || std::fs::metadata(&evidence).map_or(0, |found| found.len());
    let mut before = 0;
    let begun = std::time::Instant::now();
    while length() != before {
        before = length();
        assert!(begun.elapsed() < Duration::from_secs(60), "it runs on without its lease");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    let (running, shutdown) = bench.agent();
    let reason = StopReason::Disconnected;
    assert_eq!(bench.core.finish_of(task).await.end, End::Stopped { reason });
    shutdown.request();
    running.await.expect("ends");
}

//! Everything dies, again and again, at moments that a seed decides, while hundreds of tasks flow.
//! Afterwards every acknowledged submission has exactly one outcome, no attempt ran twice, and
//! nothing is stuck.
//!
//! `AMBIT_CHAOS_SEED` repeats the decisions of a run (not the timing of the machine);
//! `AMBIT_CHAOS_SECONDS` says how long things die.

mod breaking;
mod flowing;
mod watching;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder, Random};

use breaking::Breaker;
use flowing::{Flow, Submitted};
use watching::Watch;

tests::on_both_brokers!(whatever_dies_every_task_is_settled_once);

/// How many agents there are, and how many clients submit.
const AGENTS: u8 = 4;
const CLIENTS: u64 = 3;

const SECONDS_DEFAULT: u64 = 45;

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text}")))
}

fn whatever_dies_every_task_is_settled_once(kind: BrokerKind) {
    let seed = number_from("AMBIT_CHAOS_SEED").unwrap_or_else(Random::fresh_seed);
    let seconds = number_from("AMBIT_CHAOS_SECONDS").unwrap_or(SECONDS_DEFAULT);
    println!("chaos with {kind:?}: AMBIT_CHAOS_SEED={seed} AMBIT_CHAOS_SECONDS={seconds}");
    let begun = Instant::now();
    let mut random = Random::seeded(seed);
    let mut cluster = cluster(kind);
    let flow = Flow::new(cluster.api, cluster.evidence.clone());
    let watch = Watch::new(cluster.api);
    let over = AtomicBool::new(false);
    let mut breaker = Breaker::new(random.fork());
    let until = begun + Duration::from_secs(seconds);

    let submitted: Vec<Submitted> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (random, flow) = (random.fork(), &flow);
                scope.spawn(move || flow.submit_until(until, client, random))
            })
            .collect();
        let watcher = scope.spawn(|| watch.look_until(&over));
        // A panic here must still end the watcher, which the scope waits for.
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            breaker.break_until(until, &mut cluster);
            cluster.start();
        }));
        let submitted = clients.into_iter().map(|client| client.join());
        let submitted: Result<Vec<_>, _> = submitted.collect();
        over.store(true, Ordering::Relaxed);
        watcher.join().expect("nothing that was settled changed");
        broken.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        submitted.expect("every submission is answered in the end").into_iter().flatten().collect()
    });
    let flowed_s = begun.elapsed().as_secs_f64();

    cluster.wait_until_idle();
    let settled_s = begun.elapsed().as_secs_f64();
    let figures = watching::verify(&mut cluster, &submitted, &watch);
    println!(
        "chaos with {kind:?}, seed {seed}: {figures}; {breaker}; {} submissions repeated; \
         {flowed_s:.1} s of chaos, idle after {settled_s:.1} s",
        flow.repeated()
    );
}

fn cluster(kind: BrokerKind) -> Cluster {
    let agents = (0..AGENTS).map(|index| {
        let id = char::from(b'a' + index).to_string();
        AgentSetup::at(&id, 0.0, f64::from(index)).faulty()
    });
    agents.fold(ClusterBuilder::new(kind), ClusterBuilder::agent).start()
}

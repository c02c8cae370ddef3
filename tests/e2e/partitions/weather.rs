//! Networks that are there and not good: a link that flaps, and one that goes by satellite.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use shared::api::AgentStatus;
use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::hosts::system;
use tests::spec::on;
use tests::{Api, BrokerKind, Cluster, ClusterBuilder, Hosts, Random};

use super::{Site, site};

tests::on_both_brokers!(a_flapping_link_loses_and_doubles_nothing);

/// How often the link goes.
const FLAPS: u64 = 20;
/// What an agent writes when it has found its core.
const CONNECTED: &str = "connected to the core";

/// Waits until a task has succeeded, once; how many attempts that took.
fn assert_done_once(cluster: &Cluster, id: &str) -> usize {
    let done = cluster.api.settled(id);
    let brief = in_brief(&done);
    assert_eq!(done.summary.status, TaskStatus::Succeeded, "{brief}");
    let decided = done.outcome.as_ref().and_then(|outcome| outcome.attempt);
    let attempt = decided.unwrap_or_else(|| panic!("no attempt: {brief}")).0;
    assert_eq!(cluster.evidence.of(id, attempt), Traces { starts: 1, ends: 1 }, "{brief}");
    done.assignments.len()
}

fn a_flapping_link_loses_and_doubles_nothing(kind: BrokerKind) {
    let Some(mut site) = site(ClusterBuilder::new(kind).agents(2)) else {
        return;
    };
    let api = site.cluster.api;
    let seed = Random::fresh_seed();
    println!("flapping with seed {seed}");
    let mut random = Random::seeded(seed);
    let mut ids = Vec::new();
    for flap in 0..FLAPS {
        // Two go where the link flaps, so that there is always something under way on it.
        for place in [&["a"][..], &["a"], &["a", "b"]] {
            let nap_ms = random.between(0, 300);
            let script = format!("sleep 0.{nap_ms:03}; echo done");
            ids.push(api.submit(&on(once(&site.cluster, &script), place)));
        }
        match flap % 3 {
            0 => site.hosts.cut("a"),
            1 => site.hosts.half_open("a"),
            _ => site.hosts.unplug("a"),
        }
        std::thread::sleep(Duration::from_millis(random.between(100, 600)));
        site.hosts.heal("a");
        std::thread::sleep(Duration::from_millis(random.between(100, 700)));
    }
    let attempts: usize = ids.iter().map(|id| assert_done_once(&site.cluster, id)).sum();
    println!("{} tasks in {attempts} attempts over {FLAPS} cuts", ids.len());
    let connected = site.cluster.agent("a").daemon.log().matches(CONNECTED).count();
    println!("agent a connected {connected} times");
    assert!(connected >= 3, "the cuts were felt: {connected}");
    site.cluster.wait_until_idle();
    assert_eq!(site.cluster.evidence.doubled(), []);
    api.agent_is("a", AgentStatus::Online);
    assert_eq!(api.tasks("").expect("tasks").len(), ids.len());
}

/// How many tasks come at once.
const BURST: usize = 100;
/// How long it is watched who is thought to be gone: longer than four missed heartbeats.
const WATCH: Duration = Duration::from_secs(26);

/// Looks again and again whether an agent is thought to be gone.
fn watch(api: Api, over: &AtomicBool) -> Vec<String> {
    let begun = Instant::now();
    let mut gone = Vec::new();
    while !over.load(Ordering::Relaxed) || begun.elapsed() < WATCH {
        for agent in api.agents().unwrap_or_default() {
            if agent.status == AgentStatus::Offline {
                gone.push(format!("{} after {:?}", agent.id, begun.elapsed()));
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    gone
}

#[test]
fn over_a_satellite_everything_settles_and_nobody_is_thought_gone() {
    let Some(mut hosts) = Hosts::or_skip() else {
        return;
    };
    let builder = ClusterBuilder::new(BrokerKind::Embedded).agents(3).patient();
    let mut cluster = builder.lay_out_on(&mut hosts);
    for agent in ["a", "b", "c"] {
        let (way, jitter) = (Duration::from_millis(300), Duration::from_millis(20));
        match hosts.delay(agent, way, jitter, 5.0) {
            Ok(how) => println!("{agent}: {how}"),
            Err(why) => return system::skip(&why),
        }
    }
    cluster.start();
    let mut site = Site { cluster, hosts };
    let api = site.cluster.api;
    let over = AtomicBool::new(false);
    let (settled_s, gone) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(api, &over));
        let begun = Instant::now();
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let burst: Vec<String> =
                (0..BURST).map(|_| api.submit(&once(&site.cluster, "echo far"))).collect();
            let attempts: usize = burst.iter().map(|id| assert_done_once(&site.cluster, id)).sum();
            println!("{BURST} tasks in {attempts} attempts");
        }));
        let settled_s = begun.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        let gone = watcher.join().expect("the watcher");
        run.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (settled_s, gone)
    });
    println!("all settled after {settled_s:.1} s");
    assert_eq!(gone, Vec::<String>::new(), "nobody was gone");
    assert_eq!(site.cluster.evidence.doubled(), []);
    for agent in ["a", "b", "c"] {
        let seen = api.agent(agent).expect("the agent");
        // The link is really that long.
        assert!(seen.latency_ms.is_some_and(|ms| ms >= 500.0), "{seen:?}");
        site.hosts.heal(agent);
    }
    site.cluster.wait_until_idle();
}

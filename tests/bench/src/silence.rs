//! From the moment a link goes silent, without a word to either end, to the moment the API shows
//! the agent offline: heartbeats of one second, everything else as it is by default.

use std::time::{Duration, Instant};

use shared::api::AgentStatus;
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder, Random};

use crate::figure::{Measured, Row, median, quantile};
use crate::knob;

/// How often the API is asked.
const LOOK: Duration = Duration::from_millis(5);
const HEARTBEAT_MS: u64 = 1_000;

/// Measures it.
pub fn measure() -> Measured {
    let silences = knob::count("AMBIT_BENCH_SILENCES", 9);
    let cluster = ClusterBuilder::new(BrokerKind::Embedded)
        .agent(AgentSetup::at("a", 0.0, 0.0).faulty())
        .patient()
        .heartbeat_ms(HEARTBEAT_MS)
        .start();
    let mut random = Random::seeded(Random::fresh_seed());
    let took: Vec<f64> = (0..silences).map(|_| silence(&cluster, &mut random)).collect();
    let mut measured = Measured::default();
    let what = "silent half-open link → offline, 1 s heartbeats, p50";
    measured.row(Row::small(what, "s", median(&took), 5.0, 3.0));
    measured.note(format!(
        "{silences} silences, each at a random moment between two heartbeats: fastest {:.2} s, p50 \
         {:.2}, slowest {:.2}; the last heartbeat was heard up to 1 s before",
        quantile(&took, 0.0),
        median(&took),
        quantile(&took, 1.0)
    ));
    measured
}

fn silence(cluster: &Cluster, random: &mut Random) -> f64 {
    cluster.api.agent_is("a", AgentStatus::Online);
    std::thread::sleep(Duration::from_millis(random.between(0, HEARTBEAT_MS)));
    let begun = Instant::now();
    let link = cluster.agents[0].link();
    link.stall();
    let took = loop {
        let agent = cluster.api.agent("a").expect("the core answers");
        if agent.status == AgentStatus::Offline {
            break begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "not offline after 60 s: {agent:?}");
        std::thread::sleep(LOOK);
    };
    link.restore();
    cluster.api.agent_is("a", AgentStatus::Online);
    took.as_secs_f64()
}

//! How long it takes, printed and not judged: until a silent agent is known to be offline, and
//! until the task of a crashed one runs elsewhere.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::api::AgentStatus;
use tests::builder::once;
use tests::evidence::Traces;
use tests::spec::{on, with};
use tests::wait::PATIENCE;
use tests::{BrokerKind, ClusterBuilder};

use super::{HEARTBEAT_MS, site};

tests::on_both_brokers!(how_long_it_takes);

/// Whose links go silent, and who crashes, one after the other, for as long as another is left.
const SILENT: [&str; 3] = ["a", "b", "c"];
const CRASHING: [&str; 4] = ["d", "e", "f", "g"];
/// How often is looked.
const LOOK: Duration = Duration::from_millis(2);

/// How long it takes from now on until this holds, in milliseconds.
fn until(what: &str, begun: Instant, mut holds: impl FnMut() -> bool) -> u128 {
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(LOOK);
    }
    begun.elapsed().as_millis()
}

fn how_long_it_takes(kind: BrokerKind) {
    let Some(mut site) = site(ClusterBuilder::new(kind).agents(7)) else {
        return;
    };
    let api = site.cluster.api;
    let silent: Vec<u128> = std::thread::scope(|scope| {
        let watching: Vec<_> = SILENT
            .into_iter()
            .map(|agent| {
                site.hosts.half_open(agent);
                let begun = Instant::now();
                scope.spawn(move || {
                    until("a silent agent to be offline", begun, || {
                        api.agent(agent).is_ok_and(|agent| agent.status == AgentStatus::Offline)
                    })
                })
            })
            .collect();
        watching.into_iter().map(|watcher| watcher.join().expect("a figure")).collect()
    });
    let mut replaced = Vec::new();
    for _ in 1..CRASHING.len() {
        let at_once = json!({"disconnect": {"lost_after_s": 0}});
        let script = "[ \"$AMBIT_ATTEMPT\" != 1 ] || sleep 600";
        let spec = with(on(once(&site.cluster, script), &CRASHING), at_once);
        let id = api.submit(&spec);
        let agent = api.running(&id).assignments[0].agent.to_string();
        let begun = Instant::now();
        site.cluster.agent(&agent).daemon.strike();
        replaced.push(until("the replacement to run", begun, || {
            site.cluster.evidence.of(&id, 2).starts == 1
        }));
        api.settled(&id);
        assert_eq!(site.cluster.evidence.of(&id, 2), Traces { starts: 1, ends: 1 });
        site.cluster.agent(&agent).daemon.kill();
    }
    println!(
        "{kind:?}, heartbeats of {HEARTBEAT_MS} ms: half-open link to offline {silent:?} ms; \
         crash to replacement running {replaced:?} ms"
    );
}

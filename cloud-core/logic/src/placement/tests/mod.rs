//! Tests of placement: each filter by name, the score by hand, plans and advice as people read
//! them, and all of it against a naive oracle over generated fleets.

mod advice;
mod batch;
mod choosing;
mod exactness;
mod filters;
mod oracle;
mod plans;
mod properties;
mod replays;
mod scenes;
mod scores;
mod worlds;

use shared::api::{AgentStatus, Plan};
use shared::capacity::Resources;
use shared::geo::{Area, Position};
use shared::id::AgentId;
use shared::spec::{Near, Run, TaskSpec};
use shared::wire::uplink::{Facts, Load};

use super::{FullScan, Policy, Request, Roster, Snapshot};
use crate::change::Flags;
use crate::fleet::{Agent, Fleet, Signal};

fn id(text: &str) -> AgentId {
    text.parse().expect("an agent id")
}

fn position(latitude: f64, longitude: f64) -> Position {
    Position::new(latitude, longitude).expect("a position")
}

fn melbourne() -> Position {
    position(-37.8136, 144.9631)
}

fn sydney() -> Position {
    position(-33.8688, 151.2093)
}

/// An idle agent in Melbourne that may take anything ordinary.
fn agent(name: &str) -> Agent {
    Agent {
        id: id(name),
        facts: Facts {
            version: "0.1.0".to_owned(),
            position: Some(melbourne()),
            region: Some("au-south".to_owned()),
            labels: [("os".to_owned(), "debian".to_owned())].into(),
            taints: Vec::new(),
            arch: "aarch64".to_owned(),
            capacity: Resources {
                cpu_millis: 4_000,
                memory_mib: 4_096,
                disk_mib: 16_384,
                bandwidth_kbps: 100_000,
                devices: [("camera".to_owned(), 2)].into(),
            },
            tasks_max: 4,
            runtimes: vec!["exec".to_owned(), "noop".to_owned()],
            schedules_max: 0,
        },
        flags: Flags::default(),
        status: AgentStatus::Online,
        signal: signal(0.0, Some(10.0)),
        used: Resources::default(),
        assignments: 0,
        last_seen: None,
    }
}

fn signal(load: f64, rtt_ms: Option<f64>) -> Signal {
    let mut signal = Signal::default();
    signal.measure_load(Load { cpu: load, memory: 0.0, disk: 0.0 });
    if let Some(rtt_ms) = rtt_ms {
        signal.measure_rtt(rtt_ms);
    }
    signal
}

fn changed(name: &str, how: impl FnOnce(&mut Agent)) -> Agent {
    let mut agent = agent(name);
    how(&mut agent);
    agent
}

fn fleet(agents: impl IntoIterator<Item = Agent>) -> Fleet {
    agents.into_iter().collect()
}

/// A task that asks for nothing, changed.
fn task(how: impl FnOnce(&mut TaskSpec)) -> TaskSpec {
    let mut spec = TaskSpec::new(Run::Noop {});
    how(&mut spec);
    spec
}

fn near(position: Position, within_m: Option<f64>) -> Option<Near> {
    Some(Near { position, within_m })
}

fn request(spec: &TaskSpec) -> Request<'_> {
    Request::of(spec)
}

/// The box between two corners.
fn area(west: f64, south: f64, east: f64, north: f64) -> Area {
    let ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
    Area::from_geojson(&serde_json::json!({"type": "Polygon", "coordinates": [ring]}))
        .expect("an area")
}

fn snapshot(fleet: &Fleet) -> Snapshot {
    Roster::from(fleet.clone()).snapshot()
}

/// A plan, and that the full scan makes the same.
fn plan(
    fleet: &Fleet,
    request: &Request<'_>,
    policy: &Policy,
    candidates_max: usize,
    examples_max: usize,
) -> Plan {
    let plan = super::plan(&snapshot(fleet), request, policy, candidates_max, examples_max);
    assert_eq!(plan, FullScan(fleet).plan(request, policy, candidates_max, examples_max));
    plan
}

//! Generated fleets, tasks and policies. Values come from few, so that ties, limits met exactly
//! and every reason of refusal happen often.

use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use shared::api::{AgentStatus, PolicyFilters};
use shared::capacity::Resources;
use shared::geo::{Area, Position};
use shared::id::AgentId;
use shared::label::{Expression, Labels, Operator};
use shared::spec::{Exec, Near, Place, Preference, Run, TaskSpec};

use super::super::{Policy, Request, Weights};
use super::{agent, area, fleet, id, melbourne, near, position, signal, sydney, task};
use crate::change::Flags;
use crate::fleet::{Agent, Fleet};

/// A fleet, and a task to place on it.
#[derive(Debug, Clone)]
pub struct World {
    pub fleet: Fleet,
    pub spec: TaskSpec,
    pub avoid: Vec<AgentId>,
}

impl World {
    pub fn request(&self) -> Request<'_> {
        Request { avoid: &self.avoid, ..Request::of(&self.spec) }
    }
}

const NAMES: [&str; 12] = ["a", "a-1", "a1", "b", "B", "b10", "b2", "c", "d", "e", "f", "g"];

fn positions() -> impl Strategy<Value = Position> {
    let near_melbourne = position(-37.8136, 145.0);
    let antipode = position(37.8136, -35.0369);
    let places = [melbourne(), near_melbourne, sydney(), position(90.0, 0.0), antipode];
    select(places.to_vec())
}

fn amounts(scalars: &'static [u64], devices: &'static [u32]) -> impl Strategy<Value = Resources> {
    let scalar = || select(scalars);
    let names = subsequence(vec!["camera", "gpu"], 0..=2);
    (scalar(), scalar(), scalar(), scalar(), names, select(devices)).prop_map(
        |(cpu_millis, memory_mib, disk_mib, bandwidth_kbps, names, count)| Resources {
            cpu_millis,
            memory_mib,
            disk_mib,
            bandwidth_kbps,
            devices: names.into_iter().map(|name| (name.to_owned(), count)).collect(),
        },
    )
}

fn capacity() -> impl Strategy<Value = Resources> {
    prop_oneof![
        8 => amounts(&[4_000, 6_000, 8_000], &[1, 2]),
        1 => amounts(&[0, 4_000, u64::MAX], &[0, 1, u32::MAX]),
    ]
}

fn used() -> impl Strategy<Value = Resources> {
    prop_oneof![
        6 => amounts(&[0, 0, 1_000, 1_000, 2_000], &[0, 0, 1]),
        1 => amounts(&[0, 4_000, 9_000, u64::MAX], &[0, 2, u32::MAX]),
    ]
}

fn flags() -> impl Strategy<Value = Flags> {
    let rarely = || prop::bool::weighted(0.04);
    (rarely(), rarely(), rarely()).prop_map(|(cordoned, draining, quarantined)| Flags {
        cordoned,
        draining,
        quarantined,
        revoked: false,
    })
}

fn status() -> impl Strategy<Value = AgentStatus> {
    prop_oneof![
        12 => Just(AgentStatus::Online),
        1 => Just(AgentStatus::Suspect),
        1 => Just(AgentStatus::Offline),
    ]
}

fn words(all: &[&'static str]) -> impl Strategy<Value = Vec<String>> + use<> {
    let length = all.len();
    subsequence(all.to_vec(), 0..=length)
        .prop_map(|words| words.into_iter().map(str::to_owned).collect())
}

fn labels() -> impl Strategy<Value = Labels> {
    let value = || weighted(0.7, select(vec!["x", "x", "y"]));
    (value(), value()).prop_map(|(os, sensor)| {
        [("os", os), ("sensor", sensor)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect()
    })
}

fn tasks_max() -> impl Strategy<Value = u32> {
    weighted(0.95, Just(3)).prop_map(Option::unwrap_or_default)
}

fn any_agent() -> impl Strategy<Value = Agent> {
    let place = (weighted(0.9, positions()), weighted(0.8, select(vec!["north", "south"])));
    let tags = (labels(), weighted(0.1, words(&["t", "u"])), select(vec!["aarch64", "arm"]));
    let amounts = (capacity(), used(), tasks_max(), select(vec![0_u32, 0, 0, 1, 3]));
    let rtt_ms = weighted(0.8, select(vec![0.0, 10.0, 40.0, 40.5, 90.0]));
    let measured = (select(vec![0.0, 0.0, 0.25, 0.5, 1.0]), rtt_ms);
    let exec = prop::bool::weighted(0.9);
    (flags(), status(), place, tags, amounts, measured, exec).prop_map(
        |(flags, status, place, tags, amounts, (load, rtt_ms), exec)| {
            let mut agent = agent("x");
            (agent.flags, agent.status) = (flags, status);
            agent.signal = signal(load, rtt_ms);
            let facts = &mut agent.facts;
            (facts.position, facts.region) = (place.0, place.1.map(str::to_owned));
            (facts.labels, facts.taints) = (tags.0, tags.1.unwrap_or_default());
            facts.arch = tags.2.to_owned();
            facts.runtimes.retain(|runtime| exec || runtime != "exec");
            (facts.capacity, agent.used, facts.tasks_max, agent.assignments) = amounts;
            agent
        },
    )
}

fn ids(most: usize) -> impl Strategy<Value = Vec<AgentId>> {
    prop::collection::vec(select(NAMES.to_vec()), 1..=most)
        .prop_map(|names| names.into_iter().map(id).collect())
}

fn rarely<T: Default + std::fmt::Debug>(
    what: impl Strategy<Value = T>,
) -> impl Strategy<Value = T> {
    weighted(0.08, what).prop_map(Option::unwrap_or_default)
}

fn any_near() -> impl Strategy<Value = Option<Near>> {
    let exactly = shared::geo::distance_m(melbourne(), sydney());
    let within_m = weighted(0.5, select(vec![5_000.0, exactly, 1e7]));
    weighted(0.5, (positions(), within_m))
        .prop_map(|place| place.and_then(|(position, within_m)| near(position, within_m)))
}

fn any_area() -> impl Strategy<Value = Option<Area>> {
    let areas = vec![area(144.0, -39.0, 152.0, -33.0), area(144.0, -38.0, 145.0, -37.0)];
    weighted(0.15, select(areas))
}

fn expressions() -> impl Strategy<Value = Vec<Expression>> {
    let one =
        (select(vec!["os", "sensor"]), select(Operator::ALL.to_vec()), select(vec!["x", "y"]))
            .prop_map(|(key, (_, op), value)| Expression {
                key: key.to_owned(),
                op,
                values: match op {
                    Operator::In | Operator::NotIn => vec![value.to_owned()],
                    Operator::Exists | Operator::NotExists => vec![],
                },
            });
    prop::collection::vec(one, 1..3)
}

fn place() -> impl Strategy<Value = Place> {
    let latency_ms_max = weighted(0.15, select(vec![0.0, 40.0, 60.0]));
    let regions = rarely(words(&["north", "south", "west"]));
    let tags = (rarely(labels()), rarely(expressions()), rarely(words(&["aarch64", "x86_64"])));
    let lists = (rarely(ids(8)), rarely(ids(3)));
    let tolerate = words(&["t", "u"]);
    (any_near(), any_area(), regions, latency_ms_max, tags, lists, tolerate).prop_map(
        |(near, area, regions, latency_ms_max, tags, (agents, avoid_agents), tolerate)| Place {
            near,
            area,
            regions,
            latency_ms_max,
            labels: tags.0,
            expressions: tags.1,
            arch: tags.2,
            agents,
            avoid_agents,
            tolerate,
            spread: Vec::new(),
        },
    )
}

fn needs() -> impl Strategy<Value = Resources> {
    prop_oneof![
        3 => Just(Resources::default()),
        6 => amounts(&[0, 0, 0, 1_000, 2_000, 5_000], &[0, 0, 1]),
        1 => amounts(&[0, 7_000, u64::MAX], &[0, 2, u32::MAX]),
    ]
}

fn preference() -> impl Strategy<Value = Preference> {
    let weight = || weighted(0.3, select(vec![0_u32, 0, 1, 30, 1_000]));
    (weight(), weight(), weight(), weight()).prop_map(|(load, capacity, distance, latency)| {
        Preference { load, capacity, distance, latency, profile: None }
    })
}

pub fn any_world() -> impl Strategy<Value = World> {
    // Agents of few kinds, so that equals compete.
    let kinds = prop::collection::vec(any_agent(), 1..=6);
    let agents = (kinds, prop::collection::vec(any::<prop::sample::Index>(), 0..=NAMES.len()))
        .prop_map(|(kinds, picks)| {
            picks.into_iter().map(|pick| pick.get(&kinds).clone()).collect::<Vec<Agent>>()
        });
    let exec = prop::bool::weighted(0.3);
    let avoid = rarely(ids(3));
    (agents, exec, needs(), place(), preference(), avoid).prop_map(
        |(agents, exec, needs, place, prefer, avoid)| {
            let named = agents.into_iter().zip(NAMES);
            let fleet = fleet(named.map(|(agent, name)| Agent { id: id(name), ..agent }));
            let spec = task(|spec| {
                (spec.needs, spec.place, spec.prefer) = (needs, place, prefer);
                if exec {
                    spec.run = Run::Exec(Exec::default());
                }
            });
            World { fleet, spec, avoid }
        },
    )
}

fn filters() -> impl Strategy<Value = PolicyFilters> {
    let on = || weighted(0.7, Just(())).prop_map(|on| on.is_some());
    (on(), on(), on(), on(), on()).prop_map(
        |(region, too_far, outside_area, latency_too_high, latency_unknown)| PolicyFilters {
            region,
            too_far,
            outside_area,
            latency_too_high,
            latency_unknown,
        },
    )
}

pub fn sane_policy() -> impl Strategy<Value = Policy> {
    let weights = prop_oneof![
        Just(Weights::default()),
        Just(Weights { load: 0, capacity: 0, distance: 0, latency: 0 }),
        Just(Weights { load: 1, capacity: 1, distance: 1, latency: 1 }),
    ];
    let references = (select(vec![100_000.0, 1.0]), select(vec![50.0, 0.5]));
    (weights, references, any::<bool>(), filters()).prop_map(
        |(weights, (distance_m_ref, latency_ms_ref), packing, filters)| Policy {
            filters,
            version: 3,
            weights,
            distance_m_ref,
            latency_ms_ref,
            packing,
            ..Policy::default()
        },
    )
}

pub fn hostile_policy() -> impl Strategy<Value = Policy> {
    let reference =
        || select(vec![0.0, -0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e308]);
    let weight = || select(vec![0_u32, 1, u32::MAX]);
    let weights =
        (weight(), weight(), weight(), weight()).prop_map(|(load, capacity, distance, latency)| {
            Weights { load, capacity, distance, latency }
        });
    (weights, reference(), reference(), any::<bool>()).prop_map(
        |(weights, distance_m_ref, latency_ms_ref, packing)| Policy {
            version: 3,
            weights,
            distance_m_ref,
            latency_ms_ref,
            packing,
            ..Policy::default()
        },
    )
}

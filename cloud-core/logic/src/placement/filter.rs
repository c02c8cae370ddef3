//! The filters: each looks at one agent for one reason and says no, with figures, or nothing. One
//! table holds them all, so that the quick yes-or-no and the full list of reasons cannot disagree.

use shared::api::AgentStatus;
use shared::capacity::{Resource, Shortage};
use shared::geo::distance_m;

use super::Request;
use super::refusal::Refusal;
use crate::fleet::Agent;

type Filter = fn(&Agent, &Request<'_>) -> Option<Refusal>;

/// Every filter. The order has no meaning but speed: what is cheap or refuses often comes first,
/// what computes on the sphere last.
const FILTERS: [Filter; 24] = [
    offline,
    suspect,
    cordoned,
    draining,
    quarantined,
    slots,
    cpu,
    memory,
    disk,
    bandwidth,
    latency_too_high,
    latency_unknown,
    no_position,
    arch,
    runtime,
    region,
    label,
    expression,
    taint,
    device,
    not_listed,
    avoided,
    too_far,
    outside_area,
];

/// Whether an agent may take the task now: exactly when [`refusals`] is empty, found faster.
#[must_use]
pub fn is_feasible(agent: &Agent, request: &Request<'_>) -> bool {
    FILTERS.iter().all(|filter| filter(agent, request).is_none())
}

/// Every reason why an agent may not take the task now, at most one of each name.
#[must_use]
pub fn refusals(agent: &Agent, request: &Request<'_>) -> Vec<Refusal> {
    FILTERS.iter().filter_map(|filter| filter(agent, request)).collect()
}

fn offline(agent: &Agent, _: &Request<'_>) -> Option<Refusal> {
    (agent.status == AgentStatus::Offline).then_some(Refusal::Offline)
}

fn suspect(agent: &Agent, _: &Request<'_>) -> Option<Refusal> {
    (agent.status == AgentStatus::Suspect).then_some(Refusal::Suspect)
}

fn cordoned(agent: &Agent, _: &Request<'_>) -> Option<Refusal> {
    agent.flags.cordoned.then_some(Refusal::Cordoned)
}

fn draining(agent: &Agent, _: &Request<'_>) -> Option<Refusal> {
    agent.flags.draining.then_some(Refusal::Draining)
}

fn quarantined(agent: &Agent, _: &Request<'_>) -> Option<Refusal> {
    agent.flags.quarantined.then_some(Refusal::Quarantined)
}

fn slots(agent: &Agent, _: &Request<'_>) -> Option<Refusal> {
    let (held, held_max) = (agent.assignments, agent.facts.tasks_max);
    (held >= held_max).then_some(Refusal::Slots { held, held_max })
}

fn cpu(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    short(agent, request, 0, Resource::Cpu).map(Refusal::Cpu)
}

fn memory(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    short(agent, request, 1, Resource::Memory).map(Refusal::Memory)
}

fn disk(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    short(agent, request, 2, Resource::Disk).map(Refusal::Disk)
}

fn bandwidth(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    short(agent, request, 3, Resource::Bandwidth).map(Refusal::Bandwidth)
}

/// What is short of the scalar resource at `index`. One that is not asked for never stands in the
/// way, even when it is overcommitted.
fn short(
    agent: &Agent,
    request: &Request<'_>,
    index: usize,
    resource: Resource,
) -> Option<Shortage> {
    let needed = request.spec.needs.scalars()[index];
    let capacity = agent.facts.capacity.scalars()[index];
    let free = capacity.saturating_sub(agent.used.scalars()[index]);
    (needed > free).then_some(Shortage { resource, needed, free, capacity })
}

fn device(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let short = |(name, &needed): (&String, &u32)| {
        let capacity = agent.facts.capacity.device(name);
        let free = capacity.saturating_sub(agent.used.device(name));
        (needed > free).then(|| Shortage {
            resource: Resource::Device(name.clone()),
            needed: u64::from(needed),
            free: u64::from(free),
            capacity: u64::from(capacity),
        })
    };
    let shortages: Vec<Shortage> = request.spec.needs.devices.iter().filter_map(short).collect();
    (!shortages.is_empty()).then_some(Refusal::Device(shortages))
}

fn latency_too_high(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let latency_ms_max = request.spec.place.latency_ms_max?;
    let latency_ms = agent.signal.latency_ms()?;
    (latency_ms > latency_ms_max).then_some(Refusal::LatencyTooHigh { latency_ms, latency_ms_max })
}

fn latency_unknown(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let latency_ms_max = request.spec.place.latency_ms_max?;
    agent.signal.latency_ms().is_none().then_some(Refusal::LatencyUnknown { latency_ms_max })
}

/// A point without `within_m` only ranks, so it asks for no position.
fn no_position(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let place = &request.spec.place;
    let asked = place.area.is_some() || place.near.is_some_and(|near| near.within_m.is_some());
    (asked && agent.facts.position.is_none()).then_some(Refusal::NoPosition)
}

fn too_far(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let near = request.spec.place.near?;
    let within_m = near.within_m?;
    let distance_m = distance_m(agent.facts.position?, near.position);
    (distance_m > within_m).then_some(Refusal::TooFar { distance_m, within_m })
}

fn outside_area(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let area = request.spec.place.area.as_ref()?;
    let position = agent.facts.position?;
    (!area.contains(position)).then_some(Refusal::OutsideArea { position })
}

fn arch(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let asked = &request.spec.place.arch;
    (!asked.is_empty() && !asked.contains(&agent.facts.arch)).then_some(Refusal::Arch)
}

fn runtime(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let kind = request.spec.run.kind();
    (!agent.facts.runtimes.iter().any(|known| known == kind)).then_some(Refusal::Runtime)
}

fn region(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let asked = &request.spec.place.regions;
    let inside = || agent.facts.region.as_ref().is_some_and(|region| asked.contains(region));
    (!asked.is_empty() && !inside()).then_some(Refusal::Region)
}

fn label(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let has = |(key, value): (&String, &String)| agent.facts.labels.get(key) == Some(value);
    (!request.spec.place.labels.iter().all(has)).then_some(Refusal::Label)
}

fn expression(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let holds = request.spec.place.expressions.iter().all(|one| one.matches(&agent.facts.labels));
    (!holds).then_some(Refusal::Expression)
}

fn taint(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let tolerated = &request.spec.place.tolerate;
    let kept_away = !agent.facts.taints.iter().all(|taint| tolerated.contains(taint));
    kept_away.then_some(Refusal::Taint)
}

fn not_listed(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let listed = &request.spec.place.agents;
    (!listed.is_empty() && !listed.contains(&agent.id)).then_some(Refusal::NotListed)
}

/// The task's own list comes first: that one does not pass by waiting.
fn avoided(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    if request.spec.place.avoid_agents.contains(&agent.id) {
        Some(Refusal::AvoidedByTask)
    } else {
        request.avoid.contains(&agent.id).then_some(Refusal::RefusedBefore)
    }
}

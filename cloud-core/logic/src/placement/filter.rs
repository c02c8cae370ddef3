//! The filters: each looks at one agent for one reason and says no, with figures, or nothing. Two
//! tables hold them all, so that the quick yes-or-no and the full list of reasons cannot disagree:
//! those that are always on, and those that keep to the limits which the policy leaves on.

use shared::api::AgentStatus;
use shared::capacity::{Resource, Shortage};
use shared::geo::distance_m;

use super::Request;
use super::limits::Limits;
use super::policy::Policy;
use super::refusal::{Crowded, Refusal};
use crate::fleet::Agent;

type Filter = fn(&Agent, &Request<'_>) -> Option<Refusal>;
type Limiting = fn(&Agent, &Limits<'_>) -> Option<Refusal>;

/// Every filter that is always on. The order has no meaning but speed: what is cheap or refuses often
/// comes first.
const FILTERS: [Filter; 19] = [
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
    arch,
    runtime,
    label,
    expression,
    taint,
    device,
    not_listed,
    avoided,
    spread,
];

/// Every filter of a limit. What computes on the sphere comes last.
const LIMITING: [Limiting; 6] =
    [latency_too_high, latency_unknown, no_position, region, too_far, outside_area];

/// Whether an agent may take the task now, under a policy: exactly when [`refusals`] is empty, found
/// faster.
#[must_use]
pub fn is_feasible(agent: &Agent, request: &Request<'_>, policy: &Policy) -> bool {
    let limits = Limits::of(request, policy);
    FILTERS.iter().all(|filter| filter(agent, request).is_none())
        && LIMITING.iter().all(|filter| filter(agent, &limits).is_none())
}

/// Whether an agent that could take the task before others were given to it may take it still: what
/// reservations change, and nothing else.
pub(super) fn has_room(agent: &Agent, request: &Request<'_>) -> bool {
    let filters: [Filter; 6] = [slots, cpu, memory, disk, bandwidth, device];
    filters.iter().all(|filter| filter(agent, request).is_none())
}

/// Every reason why an agent may not take the task now, under a policy; at most one of each name.
#[must_use]
pub fn refusals(agent: &Agent, request: &Request<'_>, policy: &Policy) -> Vec<Refusal> {
    let limits = Limits::of(request, policy);
    let always = FILTERS.iter().filter_map(|filter| filter(agent, request));
    always.chain(LIMITING.iter().filter_map(|filter| filter(agent, &limits))).collect()
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

fn latency_too_high(agent: &Agent, limits: &Limits<'_>) -> Option<Refusal> {
    let latency_ms_max = limits.latency_ms_max?;
    let latency_ms = agent.signal.latency_ms()?;
    (latency_ms > latency_ms_max).then_some(Refusal::LatencyTooHigh { latency_ms, latency_ms_max })
}

fn latency_unknown(agent: &Agent, limits: &Limits<'_>) -> Option<Refusal> {
    let latency_ms_max = limits.measured_for?;
    agent.signal.latency_ms().is_none().then_some(Refusal::LatencyUnknown { latency_ms_max })
}

/// A point without `within_m` only ranks, so it asks for no position.
fn no_position(agent: &Agent, limits: &Limits<'_>) -> Option<Refusal> {
    let asked = limits.area.is_some() || limits.within.is_some();
    (asked && agent.facts.position.is_none()).then_some(Refusal::NoPosition)
}

fn too_far(agent: &Agent, limits: &Limits<'_>) -> Option<Refusal> {
    let (point, within_m) = limits.within?;
    let distance_m = distance_m(agent.facts.position?, point);
    (distance_m > within_m).then_some(Refusal::TooFar { distance_m, within_m })
}

fn outside_area(agent: &Agent, limits: &Limits<'_>) -> Option<Refusal> {
    let position = agent.facts.position?;
    (!limits.area?.contains(position)).then_some(Refusal::OutsideArea { position })
}

fn region(agent: &Agent, limits: &Limits<'_>) -> Option<Refusal> {
    let asked = limits.regions;
    let inside = || agent.facts.region.as_ref().is_some_and(|region| asked.contains(region));
    (!asked.is_empty() && !inside()).then_some(Refusal::Region)
}

fn arch(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let asked = &request.spec.place.arch;
    (!asked.is_empty() && !asked.contains(&agent.facts.arch)).then_some(Refusal::Arch)
}

fn runtime(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let kind = request.spec.run.kind();
    (!agent.facts.runtimes.iter().any(|known| known == kind)).then_some(Refusal::Runtime)
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

/// Of each rule, how many are together with what would be on the agent.
fn spread(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    let broken = request.spec.place.spread.iter().filter_map(|rule| {
        let together = request.groups.together(rule, agent);
        let passes = together.is_some_and(|together| together < u64::from(rule.max));
        (!passes).then(|| Crowded { rule: rule.clone(), together })
    });
    let broken: Vec<Crowded> = broken.collect();
    (!broken.is_empty()).then_some(Refusal::Spread(broken))
}

/// The task's own list comes first: that one does not pass by waiting.
fn avoided(agent: &Agent, request: &Request<'_>) -> Option<Refusal> {
    if request.spec.place.avoid_agents.contains(&agent.id) {
        Some(Refusal::AvoidedByTask)
    } else {
        request.avoid.contains(&agent.id).then_some(Refusal::RefusedBefore)
    }
}

//! Placement once more, naively, from the text of the design and from what the API shows of an
//! agent: every reason by name with whether waiting can help, and the score. Shares nothing with
//! the code under test but the geography.

use std::collections::BTreeMap;

use shared::api::{AgentDocument, AgentFlag, AgentStatus};
use shared::capacity::Resources;
use shared::geo::distance_m;
use shared::spec::TaskSpec;

use super::super::{Policy, Request};
use crate::fleet::Agent;

/// Reasons by name, each with whether waiting can help.
type Reasons = BTreeMap<&'static str, bool>;

/// The names of the reasons, and whether waiting can help against each.
pub fn reasons(agent: &Agent, request: &Request<'_>, policy: &Policy) -> Reasons {
    let (agent, spec) = (agent.document(), request.spec);
    let mut reasons = Reasons::new();
    against_its_state(&agent, request, &mut reasons);
    against_its_place(&agent, spec, policy, &mut reasons);
    against_its_room(&agent, spec, &mut reasons);
    reasons
}

fn note(reasons: &mut Reasons, holds: bool, name: &'static str, waiting_helps: bool) {
    if holds {
        reasons.insert(name, waiting_helps);
    }
}

fn against_its_state(agent: &AgentDocument, request: &Request<'_>, reasons: &mut Reasons) {
    let place = &request.spec.place;
    let mut against = |holds, name, waiting_helps| note(reasons, holds, name, waiting_helps);
    against(agent.status == AgentStatus::Offline, "offline", true);
    against(agent.status == AgentStatus::Suspect, "suspect", true);
    against(agent.flags.contains(&AgentFlag::Cordoned), "cordoned", false);
    against(agent.flags.contains(&AgentFlag::Draining), "draining", false);
    against(agent.flags.contains(&AgentFlag::Quarantined), "quarantined", false);
    against(
        place.agents.iter().all(|id| *id != agent.id) && !place.agents.is_empty(),
        "not_listed",
        false,
    );
    against(request.avoid.contains(&agent.id), "avoided", true);
    against(place.avoid_agents.contains(&agent.id), "avoided", false);
    against(
        place.arch.iter().all(|arch| *arch != agent.arch) && !place.arch.is_empty(),
        "arch",
        false,
    );
    for (key, value) in &place.labels {
        against(agent.labels.get(key) != Some(value), "label", false);
    }
    for expression in &place.expressions {
        against(!expression.matches(&agent.labels), "expression", false);
    }
    for taint in &agent.taints {
        against(!place.tolerate.contains(taint), "taint", false);
    }
}

fn against_its_place(
    agent: &AgentDocument,
    spec: &TaskSpec,
    policy: &Policy,
    reasons: &mut Reasons,
) {
    let on = policy.filters;
    let place = &spec.place;
    let mut against = |holds, name, waiting_helps| note(reasons, holds, name, waiting_helps);
    if on.region && !place.regions.is_empty() {
        let inside = match &agent.region {
            Some(region) => place.regions.contains(region),
            None => false,
        };
        against(!inside, "region", false);
    }
    if let Some(limit_m) = place.near.and_then(|near| near.within_m)
        && on.too_far
    {
        let point = place.near.expect("near").position;
        match agent.position {
            None => against(true, "no_position", false),
            Some(position) => against(distance_m(position, point) > limit_m, "too_far", false),
        }
    }
    if let Some(area) = &place.area
        && on.outside_area
    {
        match agent.position {
            None => against(true, "no_position", false),
            Some(position) => against(!area.contains(position), "outside_area", false),
        }
    }
    if let Some(limit_ms) = place.latency_ms_max {
        match agent.latency_ms {
            None => against(on.latency_unknown, "latency_unknown", true),
            Some(latency_ms) => {
                against(on.latency_too_high && latency_ms > limit_ms, "latency_too_high", true);
            }
        }
    }
}

fn against_its_room(agent: &AgentDocument, spec: &TaskSpec, reasons: &mut Reasons) {
    let runs = agent.runtimes.iter().any(|known| known == spec.run.kind());
    note(reasons, !runs, "runtime", false);
    let full = agent.assignments >= agent.assignments_max;
    note(reasons, full, "slots", agent.assignments_max != 0);
    for (name, need, capacity, used) in amounts(agent, spec) {
        let device = !["cpu", "memory", "disk", "bandwidth"].contains(&name.as_str());
        let name = match name.as_str() {
            "cpu" => "cpu",
            "memory" => "memory",
            "disk" => "disk",
            "bandwidth" => "bandwidth",
            _ => "device",
        };
        if need > 0 && used + need > capacity.max(used) {
            let possible = need <= capacity;
            let before = reasons.get(name).copied().unwrap_or(true);
            reasons.insert(name, if device { before && possible } else { possible });
        }
    }
}

/// Every resource of either side: its name, what is needed, what there is, what is used.
fn amounts(agent: &AgentDocument, spec: &TaskSpec) -> Vec<(String, u128, u128, u128)> {
    let scalars = |r: &Resources| {
        [
            ("cpu", r.cpu_millis),
            ("memory", r.memory_mib),
            ("disk", r.disk_mib),
            ("bandwidth", r.bandwidth_kbps),
        ]
    };
    let of = |r: &Resources, name: &str| -> u128 {
        let device = r.devices.get(name).map(|&count| u64::from(count));
        let scalar = scalars(r).iter().find(|(known, _)| *known == name).map(|&(_, amount)| amount);
        scalar.or(device).unwrap_or(0).into()
    };
    let mut names: Vec<String> = ["cpu", "memory", "disk", "bandwidth"].map(str::to_owned).into();
    names.extend(agent.capacity.devices.keys().cloned());
    names.extend(
        spec.needs
            .devices
            .keys()
            .filter(|name| !agent.capacity.devices.contains_key(*name))
            .cloned(),
    );
    names
        .into_iter()
        .map(|name| {
            let (need, capacity) = (of(&spec.needs, &name), of(&agent.capacity, &name));
            let used = of(&agent.used, &name);
            (name, need, capacity, used)
        })
        .collect()
}

/// The score and its terms: load, capacity, distance, latency.
pub fn score(
    agent: &Agent,
    request: &Request<'_>,
    policy: &Policy,
) -> (f64, f64, f64, Option<f64>, f64) {
    let (agent, spec) = (agent.document(), request.spec);
    let amounts = amounts(&agent, spec);

    let mut busiest = agent.load;
    for &(_, _, capacity, used) in &amounts {
        if capacity > 0 && used as f64 / capacity as f64 > busiest {
            busiest = used as f64 / capacity as f64;
        }
    }
    let load = if busiest > 1.0 { 0.0 } else { 1.0 - busiest };

    let mut asked: Vec<_> = amounts.iter().filter(|(_, need, _, _)| *need > 0).collect();
    if asked.is_empty() {
        asked = amounts.iter().filter(|(name, ..)| name == "cpu" || name == "memory").collect();
    }
    let mut shares = Vec::new();
    for &&(_, need, capacity, used) in &asked {
        let free = if used + need > capacity { 0 } else { capacity - used - need };
        shares.push(if capacity == 0 { 0.0 } else { free as f64 / capacity as f64 });
    }
    let mut capacity = shares.iter().sum::<f64>() / shares.len() as f64;
    if policy.packing {
        capacity = 1.0 - capacity;
    }

    let distance = spec.place.near.map(|near| match agent.position {
        Some(position) => 1.0 / (1.0 + distance_m(position, near.position) / policy.distance_m_ref),
        None => 0.0,
    });
    let latency = match agent.latency_ms {
        Some(latency_ms) => 1.0 / (1.0 + latency_ms / policy.latency_ms_ref),
        None => 0.0,
    };

    let (prefer, weights) = (&spec.prefer, policy.weights);
    let mut above = 0.0;
    let mut below = 0.0;
    let mut count = |own: Option<u32>, usual: u32, term: f64| {
        let weight = f64::from(own.unwrap_or(usual));
        above += weight * term;
        below += weight;
    };
    count(prefer.load, weights.load, load);
    count(prefer.capacity, weights.capacity, capacity);
    if let Some(distance) = distance {
        count(prefer.distance, weights.distance, distance);
    }
    count(prefer.latency, weights.latency, latency);
    let score = if below == 0.0 { 0.0 } else { above / below };
    (score, load, capacity, distance, latency)
}

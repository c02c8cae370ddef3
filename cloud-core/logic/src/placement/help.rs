//! What would help against one reason, as something a person can do: to the task, to an agent, or
//! wait. Written for the agent that is nearest to passing, with the figure it takes; where nothing
//! in the whole fleet fits, it says so and names what there is instead.

use shared::border::nearest;
use shared::id::AgentId;
use shared::spec::{Per, Spread, Together};

use super::Request;
use super::detail::degrees;
use super::refusal::{Crowded, Refusal};
use super::vocabulary::Vocabulary;
use super::words::any_of;
use crate::fleet::{Agent, Fleet};

/// The advice for one refusal of `agent`.
pub(super) fn help(
    refusal: &Refusal,
    agent: &Agent,
    request: &Request<'_>,
    fleet: &Fleet,
    vocabulary: &dyn Vocabulary,
) -> String {
    let id = &agent.id;
    match refusal {
        Refusal::Offline => {
            format!("wait until it is heard again, or look after the power and network of {id}")
        }
        Refusal::Suspect => "wait until its heartbeats are steady again".to_owned(),
        Refusal::Cordoned => format!("uncordon {id}"),
        Refusal::Draining => format!("uncordon {id} once its maintenance is over"),
        Refusal::Quarantined => format!("find out why {id} kept failing, then uncordon it"),
        Refusal::NotListed => not_listed(agent, request, fleet),
        Refusal::AvoidedByTask => format!("take {id} off where.avoid_agents"),
        Refusal::RefusedBefore => format!("wait until {id} is asked again"),
        Refusal::Arch => arch(agent, request, vocabulary),
        Refusal::Label => label(agent, request, vocabulary),
        Refusal::Expression => expression(agent, request),
        Refusal::Taint => taint(agent, request),
        Refusal::Region => region(agent, request, vocabulary),
        Refusal::TooFar { distance_m, .. } => {
            // Rounded up: what is advised must be enough.
            format!("raise where.near.within_m to at least {:.0} for {id}", distance_m.ceil())
        }
        Refusal::OutsideArea { position } => {
            format!("widen where.area to take in {id} at {}", degrees(*position))
        }
        Refusal::LatencyTooHigh { latency_ms, .. } => format!(
            "wait until the link of {id} is faster, or raise where.latency_ms_max to at least {}",
            latency_ms.ceil()
        ),
        Refusal::LatencyUnknown { .. } => "wait until its round trip is measured".to_owned(),
        Refusal::NoPosition => format!("give {id} a position (its latitude and longitude)"),
        Refusal::Cpu(_) | Refusal::Memory(_) | Refusal::Disk(_) | Refusal::Bandwidth(_) => {
            amount(refusal)
        }
        Refusal::Device(_) => devices(refusal, vocabulary),
        Refusal::Runtime => {
            format!("update {id} to a version that can run `{}`", request.spec.run.kind())
        }
        Refusal::Spread(rules) => {
            rules.iter().map(|crowded| apart(crowded, agent)).collect::<Vec<_>>().join("; ")
        }
        Refusal::Slots { held_max: 0, .. } => format!("let {id} take assignments"),
        Refusal::Slots { held_max, .. } => {
            format!("wait until an assignment of {id} is over, or let it hold more than {held_max}")
        }
    }
}

fn apart(crowded: &Crowded, agent: &Agent) -> String {
    let (Spread { group, together, .. }, id) = (&crowded.rule, &agent.id);
    match (crowded.together, together) {
        (Some(held), _) => {
            let more = held + 1;
            format!(
                "wait until one of group {group} is over, add an agent elsewhere, or raise max in \
                 where.spread to {more}"
            )
        }
        (None, Together::Per(Per::Region)) => format!("give {id} a region"),
        (None, Together::Per(_)) => format!("give {id} a label zone"),
        (None, Together::WithinM(_)) => {
            format!("give {id} a position (its latitude and longitude)")
        }
    }
}

fn amount(refusal: &Refusal) -> String {
    let advice = |(name, shortage): (&str, &shared::capacity::Shortage)| {
        let (free, capacity) = (shortage.free, shortage.capacity);
        match (refusal.waiting_helps(), free) {
            (true, 0) => format!("wait until some comes free (all of {capacity} {name} is taken)"),
            (true, _) => {
                format!("wait until enough comes free, or ask for at most {free} in needs.{name}")
            }
            (false, _) if capacity == 0 => {
                format!(
                    "do without needs.{name}, or add an agent with at least {}",
                    shortage.needed
                )
            }
            (false, _) => format!(
                "ask for at most {capacity} in needs.{name}, or add an agent with at least {}",
                shortage.needed
            ),
        }
    };
    refusal.shortages().into_iter().map(advice).collect::<Vec<_>>().join("; ")
}

fn devices(refusal: &Refusal, vocabulary: &dyn Vocabulary) -> String {
    let advice = |(name, shortage): (&str, &shared::capacity::Shortage)| {
        let needed = shortage.needed;
        if needed <= shortage.capacity {
            return format!("wait until {needed} {name} are free");
        }
        let known = vocabulary.devices();
        if known.binary_search(&name).is_ok() {
            format!("add an agent with {needed} {name}, or ask for fewer in needs.devices")
        } else {
            format!("no agent has a device {name}{}", instead(name, &known))
        }
    };
    refusal.shortages().into_iter().map(advice).collect::<Vec<_>>().join("; ")
}

fn not_listed(agent: &Agent, request: &Request<'_>, fleet: &Fleet) -> String {
    let listed = &request.spec.place.agents;
    match listed.iter().find(|id| fleet.get(id).is_none()) {
        Some(missing) => {
            let known: Vec<&str> = fleet.ids().map(AgentId::as_str).collect();
            format!(
                "where.agents lists {missing}, but there is no such agent{}",
                instead(missing.as_str(), &known)
            )
        }
        None => format!("add {} to where.agents", agent.id),
    }
}

fn arch(agent: &Agent, request: &Request<'_>, vocabulary: &dyn Vocabulary) -> String {
    let asked = &request.spec.place.arch;
    let known = vocabulary.architectures();
    if asked.iter().any(|arch| known.binary_search(&arch.as_str()).is_ok()) {
        format!("allow {} in where.arch", agent.facts.arch)
    } else {
        format!(
            "no agent is {}: allow {} in where.arch, or add such an agent",
            any_of(asked),
            any_of(&known)
        )
    }
}

fn region(agent: &Agent, request: &Request<'_>, vocabulary: &dyn Vocabulary) -> String {
    let asked = &request.spec.place.regions;
    let known = vocabulary.regions();
    let populated = asked.iter().any(|region| known.binary_search(&region.as_str()).is_ok());
    match (&agent.facts.region, asked.first()) {
        (_, Some(first)) if !populated => {
            format!("no agent is in {}{}", any_of(asked), instead(first, &known))
        }
        (Some(region), _) => format!("allow {region} in where.regions"),
        (None, _) => format!("give {} a region", agent.id),
    }
}

fn label(agent: &Agent, request: &Request<'_>, vocabulary: &dyn Vocabulary) -> String {
    let asked = &request.spec.place.labels;
    let held =
        |agent: &Agent, key: &str, value: &String| agent.facts.labels.get(key) == Some(value);
    let nowhere = asked.iter().find(|(key, value)| !vocabulary.has_label(key, value));
    if let Some((key, value)) = nowhere {
        let known = vocabulary.values(key);
        let there = match known.is_empty() {
            true => String::new(),
            false => format!(" (there is {key}={})", any_of(&known)),
        };
        return format!(
            "no agent has label {key}={value}{there}: label one, or drop it from where.labels"
        );
    }
    let missing: Vec<String> = asked
        .iter()
        .filter(|(key, value)| !held(agent, key, value))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("label {} {}, or drop it from where.labels", agent.id, missing.join(" "))
}

fn expression(agent: &Agent, request: &Request<'_>) -> String {
    let asked = request.spec.place.expressions.iter();
    let broken: Vec<String> = asked
        .filter(|one| !one.matches(&agent.facts.labels))
        .map(|one| format!("`{}`", one.describe()))
        .collect();
    format!(
        "label {} so that {} holds, or drop it from where.expressions",
        agent.id,
        broken.join(" and ")
    )
}

fn taint(agent: &Agent, request: &Request<'_>) -> String {
    let tolerated = &request.spec.place.tolerate;
    let taints: Vec<&str> = agent
        .facts
        .taints
        .iter()
        .filter(|taint| !tolerated.contains(taint))
        .map(String::as_str)
        .collect();
    format!("add {} to where.tolerate", taints.join(" and "))
}

/// What to write instead of a word that the fleet does not know.
fn instead(wrong: &str, known: &[&str]) -> String {
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("; did you mean {near}?"),
        None if known.is_empty() => String::new(),
        None => format!("; there is {}", any_of(known)),
    }
}

//! What is wrong with one agent, in a sentence with figures: what it has beside what is asked for.

use shared::geo::Position;
use shared::spec::{Per, Spread, Together};
use shared::time::Timestamp;

use super::Request;
use super::groups::zone;
use super::refusal::{Crowded, Refusal};
use super::words::{any_of, count, durations, length, lengths, milliseconds};
use crate::fleet::Agent;

/// The sentence for one refusal of an agent.
pub(super) fn detail(refusal: &Refusal, agent: &Agent, request: &Request<'_>) -> String {
    let place = &request.spec.place;
    match refusal {
        Refusal::Offline => format!("offline, {}", last_heard(agent.last_seen)),
        Refusal::Suspect => {
            format!(
                "its heartbeats are late or it has just come back, {}",
                last_heard(agent.last_seen)
            )
        }
        Refusal::Cordoned => "cordoned: it takes nothing new".to_owned(),
        Refusal::Draining => "draining: it is being emptied and takes nothing new".to_owned(),
        Refusal::Quarantined => "quarantined: it has failed too often".to_owned(),
        Refusal::NotListed => {
            let listed = u64::try_from(place.agents.len()).unwrap_or(u64::MAX);
            format!("not among the {} that the task lists", count(listed, "agent"))
        }
        Refusal::AvoidedByTask => "the task avoids it".to_owned(),
        Refusal::RefusedBefore => "it has just refused this task".to_owned(),
        Refusal::Arch => {
            let found = if agent.facts.arch.is_empty() { "unknown" } else { &agent.facts.arch };
            format!("its architecture is {found}, {} asked for", any_of(&place.arch))
        }
        Refusal::Label => labels(agent, request),
        Refusal::Expression => expressions(agent, request),
        Refusal::Taint => {
            let kept = |taint: &&String| !place.tolerate.contains(taint);
            let taints: Vec<&String> = agent.facts.taints.iter().filter(kept).collect();
            format!("its taint {} is not tolerated", any_of(&taints))
        }
        Refusal::Region => match &agent.facts.region {
            Some(region) => format!("its region is {region}, {} asked for", any_of(&place.regions)),
            None => format!("it has no region, {} asked for", any_of(&place.regions)),
        },
        Refusal::TooFar { distance_m, within_m } => {
            let [distance, within] = lengths(*distance_m, *within_m);
            format!("{distance} away, at most {within} allowed")
        }
        Refusal::OutsideArea { position } => format!("at {}, outside the area", degrees(*position)),
        Refusal::LatencyTooHigh { latency_ms, latency_ms_max } => {
            let [latency, allowed] = durations(*latency_ms, *latency_ms_max);
            format!("{latency} round trip, at most {allowed} allowed")
        }
        Refusal::LatencyUnknown { latency_ms_max } => {
            let allowed = milliseconds(*latency_ms_max);
            format!("its round trip is not measured yet, at most {allowed} allowed")
        }
        Refusal::NoPosition => "where it is nobody knows".to_owned(),
        Refusal::Cpu(_) | Refusal::Memory(_) | Refusal::Disk(_) | Refusal::Bandwidth(_) => {
            shortages(refusal)
        }
        Refusal::Device(_) => shortages(refusal),
        Refusal::Runtime => {
            let (kind, known) = (request.spec.run.kind(), any_of(&agent.facts.runtimes));
            format!("it cannot run `{kind}`, it knows {known}")
        }
        Refusal::Slots { held_max: 0, .. } => "it is set to take no assignments".to_owned(),
        Refusal::Slots { held, held_max } => {
            format!("holds {}, at most {held_max} at once", count((*held).into(), "assignment"))
        }
        Refusal::Spread(rules) => {
            let told = rules.iter().map(|crowded| self::crowded(crowded, agent));
            told.collect::<Vec<_>>().join("; ")
        }
    }
}

/// "2 of group web are in its zone east, at most 1 allowed".
fn crowded(crowded: &Crowded, agent: &Agent) -> String {
    let Spread { group, max, together } = &crowded.rule;
    let Some(held) = crowded.together else {
        let lacks = match together {
            Together::Per(Per::Region) => "no region",
            Together::Per(_) => "no label zone",
            Together::WithinM(_) => "no known position",
        };
        return format!("it has {lacks}, so nobody can tell it apart from others of group {group}");
    };
    let place = match together {
        Together::Per(Per::Region) => {
            format!("in its region {}", agent.facts.region.as_deref().unwrap_or_default())
        }
        Together::Per(Per::Zone) => format!("in its zone {}", zone(agent).unwrap_or_default()),
        Together::Per(Per::Agent) => "on it".to_owned(),
        Together::WithinM(within_m) => format!("within {} of it", length(*within_m)),
    };
    let are = if held == 1 { "is" } else { "are" };
    format!("{held} of group {group} {are} {place}, at most {max} allowed")
}

/// A place as people write it: latitude first, about a metre exact.
pub(super) fn degrees(position: Position) -> String {
    format!("{:.5}, {:.5}", position.latitude(), position.longitude())
}

fn last_heard(last_seen: Option<Timestamp>) -> String {
    match last_seen {
        Some(time) => format!("last heard {time}"),
        None => "not heard yet".to_owned(),
    }
}

/// "sensor is noise, pm25 asked for; no label gpu, a100 asked for".
fn labels(agent: &Agent, request: &Request<'_>) -> String {
    let asked = request.spec.place.labels.iter();
    let wrong = asked.filter_map(|(key, asked)| match agent.facts.labels.get(key) {
        Some(value) if value == asked => None,
        Some(value) => Some(format!("{key} is {value}, {asked} asked for")),
        None => Some(format!("no label {key}, {asked} asked for")),
    });
    wrong.collect::<Vec<_>>().join("; ")
}

/// "`os in (debian)` does not hold, os is alpine".
fn expressions(agent: &Agent, request: &Request<'_>) -> String {
    let asked = request.spec.place.expressions.iter();
    let wrong = asked.filter(|one| !one.matches(&agent.facts.labels)).map(|one| {
        let found = match agent.facts.labels.get(&one.key) {
            Some(value) => format!("{} is {value}", one.key),
            None => format!("there is no label {}", one.key),
        };
        format!("`{}` does not hold, {found}", one.describe())
    });
    wrong.collect::<Vec<_>>().join("; ")
}

/// "needs 500 cpu_millis, 200 free of 4000".
fn shortages(refusal: &Refusal) -> String {
    let sentence = |(name, shortage): (&str, &shared::capacity::Shortage)| {
        let (needed, free, capacity) = (shortage.needed, shortage.free, shortage.capacity);
        match capacity {
            0 => format!("needs {needed} {name}, has none"),
            _ => format!("needs {needed} {name}, {free} free of {capacity}"),
        }
    };
    refusal.shortages().into_iter().map(sentence).collect::<Vec<_>>().join("; ")
}

//! The replay: what another policy would change, told before it is put in force. Every placement that
//! is remembered is placed twice, by the policy in force and by the other one, on the same fleet; so
//! what differs is the policy's doing and nothing else's. Exact, as placement is.
//!
//! Held constant: the fleet as it is now, with all that is reserved on it but the task's own share.
//! Where a task is one of many that would all move to the same agent, that agent is not filled up.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::api::{
    Candidate, PolicyReplay, ReplayAgent, ReplayCounts, ReplayExample, ReplayMeans, ReplayProfile,
    Terms,
};
use shared::id::{AgentId, TaskId};
use shared::spec::TaskSpec;

use super::candidates::Chooser;
use super::policy::Policy;
use super::roster::Roster;
use super::score::candidate;
use super::{Request, is_feasible};
use crate::fleet::Fleet;

/// The most agents that a replay names.
const AGENTS_MAX: usize = 10;
/// The most examples that it shows.
const EXAMPLES_MAX: usize = 10;

/// A placement that is remembered.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// The task.
    pub task: TaskId,
    /// What it asked for.
    pub spec: Arc<TaskSpec>,
    /// Where it was placed.
    pub agent: AgentId,
    /// Whether its share is still reserved there.
    pub live: bool,
}

/// What `other` would change about placements, compared with `in_force`.
#[must_use]
pub fn replay(
    fleet: Fleet,
    recorded: &[Recorded],
    in_force: &Policy,
    other: &Policy,
) -> PolicyReplay {
    let other = &Policy { version: in_force.version, ..other.clone() };
    let mut roster = Roster::from(fleet);
    recorded
        .iter()
        .filter(|one| one.live)
        .for_each(|one| roster.join_groups(&one.agent, &one.spec));
    let mut tally = Tally::default();
    for one in recorded {
        let profile = one.spec.prefer.profile.as_deref();
        if profile.is_some() && other.profile_of(&one.spec).is_none() {
            tally.unknown_profiles.extend(profile.map(str::to_owned));
        }
        let (in_force, other) = (in_force.of(profile), other.of(profile));
        // As it was before it was placed there, or as near to that as can be told.
        let held = one.live.then(|| roster.get(&one.agent).cloned()).flatten();
        if held.is_some() {
            roster.change(&one.agent, |agent| {
                agent.used.subtract(&one.spec.needs);
                agent.assignments = agent.assignments.saturating_sub(1);
            });
            roster.leave_groups(&one.agent, &one.spec);
        }
        let groups = roster.groups().clone();
        let request = Request { groups: &groups, ..Request::of(&one.spec) };
        let before = roster.best(&request, &in_force);
        let after =
            if *in_force == *other { before.clone() } else { roster.best(&request, &other) };
        let gain = before.as_ref().zip(after.as_ref()).and_then(|(before, after)| {
            let agent = roster.get(&before.agent)?;
            // An agent that the other policy lets nobody go to is no match for any.
            let same = is_feasible(agent, &request, &other);
            same.then(|| after.score - candidate(agent, &request, &other).score)
        });
        if let Some(agent) = held {
            roster.change(&one.agent, |changed| *changed = agent);
            roster.join_groups(&one.agent, &one.spec);
        }
        tally.take(one, before, after, gain);
    }
    tally.told(recorded, in_force.version)
}

/// What is known of all placements so far.
#[derive(Default)]
struct Tally {
    drifted: u64,
    change: ReplayCounts,
    profiles: BTreeMap<Option<String>, ReplayCounts>,
    unknown_profiles: BTreeSet<String>,
    agents: BTreeMap<AgentId, (u64, u64)>,
    before: Places,
    after: Places,
    examples: Vec<ReplayExample>,
}

impl Tally {
    fn take(
        &mut self,
        one: &Recorded,
        before: Option<Candidate>,
        after: Option<Candidate>,
        gain: Option<f64>,
    ) {
        let profile = &one.spec.prefer.profile;
        for counts in [&mut self.change, self.profiles.entry(profile.clone()).or_default()] {
            *match (&before, &after) {
                (Some(before), Some(after)) if before.agent == after.agent => &mut counts.stay,
                (Some(_), Some(_)) => &mut counts.moved,
                (None, Some(_)) => &mut counts.gain,
                (Some(_), None) => &mut counts.lose,
                (None, None) => &mut counts.nowhere,
            } += 1;
        }
        let agent = |one: &Option<Candidate>| one.as_ref().map(|one| one.agent.clone());
        let (from, to) = (agent(&before), agent(&after));
        self.drifted += u64::from(from.as_ref() != Some(&one.agent));
        self.before.take(before.as_ref());
        self.after.take(after.as_ref());
        let changed = from != to;
        if let Some(from) = from {
            self.agents.entry(from).or_default().0 += 1;
        }
        if let Some(to) = to {
            self.agents.entry(to).or_default().1 += 1;
        }
        if !changed {
            return;
        }
        let example = ReplayExample {
            task: one.task,
            name: one.spec.name.clone(),
            profile: profile.clone(),
            placed: one.agent.clone(),
            before,
            after,
            gain,
        };
        let at = self.examples.partition_point(|held| telling(held, &example).is_le());
        if at < EXAMPLES_MAX {
            self.examples.insert(at, example);
            self.examples.truncate(EXAMPLES_MAX);
        }
    }

    fn told(self, recorded: &[Recorded], policy: u64) -> PolicyReplay {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let mut agents: Vec<ReplayAgent> = self
            .agents
            .into_iter()
            .map(|(agent, (before, after))| ReplayAgent { agent, before, after })
            .filter(|agent| agent.before != agent.after)
            .collect();
        agents.sort_by_key(|one| std::cmp::Reverse(one.before.abs_diff(one.after)));
        agents.truncate(AGENTS_MAX);
        PolicyReplay {
            policy,
            placements: count(recorded.len()),
            live: count(recorded.iter().filter(|one| one.live).count()),
            drifted: self.drifted,
            change: self.change,
            before: self.before.means(),
            after: self.after.means(),
            profiles: self
                .profiles
                .into_iter()
                .map(|(profile, change)| ReplayProfile { profile, change })
                .collect(),
            unknown_profiles: self.unknown_profiles.into_iter().collect(),
            agents,
            examples: self.examples,
        }
    }
}

/// The more telling one first: who loses a place, who gains one, then by how much it matters.
fn telling(one: &ReplayExample, other: &ReplayExample) -> Ordering {
    let rank = |example: &ReplayExample| match (&example.before, &example.after) {
        (_, None) => 0,
        (None, Some(_)) => 1,
        (Some(_), Some(_)) => 2,
    };
    let gain = |example: &ReplayExample| example.gain.unwrap_or(f64::INFINITY);
    rank(one)
        .cmp(&rank(other))
        .then_with(|| gain(other).total_cmp(&gain(one)))
        .then_with(|| one.task.cmp(&other.task))
}

/// The places that one policy gives, added up.
#[derive(Default)]
struct Places {
    count: f64,
    score: f64,
    load: f64,
    capacity: f64,
    latency: f64,
    distance: Sum,
    latency_ms: Sum,
    distances_m: Vec<f64>,
}

#[derive(Default)]
struct Sum {
    sum: f64,
    count: f64,
}

impl Sum {
    fn take(&mut self, value: Option<f64>) {
        self.sum += value.unwrap_or(0.0);
        self.count += f64::from(u8::from(value.is_some()));
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

impl Places {
    fn take(&mut self, place: Option<&Candidate>) {
        let Some(place) = place else { return };
        self.count += 1.0;
        self.score += place.score;
        self.load += place.terms.load;
        self.capacity += place.terms.capacity;
        self.latency += place.terms.latency;
        self.distance.take(place.terms.distance);
        self.latency_ms.take(place.latency_ms);
        self.distances_m.extend(place.distance_m);
    }

    fn means(mut self) -> ReplayMeans {
        if self.count == 0.0 {
            return ReplayMeans::default();
        }
        self.distances_m.sort_by(f64::total_cmp);
        let distances_m = &self.distances_m;
        let sum: f64 = distances_m.iter().sum();
        ReplayMeans {
            score: Some(self.score / self.count),
            terms: Some(Terms {
                load: self.load / self.count,
                capacity: self.capacity / self.count,
                distance: self.distance.mean(),
                latency: self.latency / self.count,
            }),
            // Of an even number the lower of the two in the middle: a distance that there is.
            distance_m_median: distances_m.get(distances_m.len().saturating_sub(1) / 2).copied(),
            distance_m_mean: (!distances_m.is_empty()).then(|| sum / distances_m.len() as f64),
            latency_ms_mean: self.latency_ms.mean(),
        }
    }
}

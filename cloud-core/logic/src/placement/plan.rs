//! The dry run: what placing a task would come to, over the whole fleet: the best candidates, and
//! every refusal counted. The survey counts; a scan over the agents counts the same, and is what the
//! survey is tested against. Owns which agents serve as examples, and what is told of them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use shared::api::{Plan, RefusalName, Refused, RefusedExample};

use super::Request;
use super::candidates::FullScan;
use super::detail::detail;
use super::filter::refusals;
use super::help::help;
use super::policy::Policy;
use super::refusal::Refusal;
use super::score::{Scored, candidate};
use super::snapshot::Snapshot;
use super::vocabulary::Vocabulary;
use crate::fleet::{Agent, Fleet, Number};

/// What placing a task would come to now: the `candidates_max` best agents (the chosen one first,
/// and always there), and why each other one may not take it, with up to `examples_max` agents for
/// each reason, all by the policy's profile that the task asks for. An agent counts under every one of its reasons. The examples are the agents
/// nearest to taking the task: first those that nothing else keeps away, then those that waiting
/// can help, then those that lack least (the nearest ones of those too far away), then by id.
#[must_use]
pub fn plan(
    snapshot: &Snapshot,
    request: &Request<'_>,
    policy: &Policy,
    candidates_max: usize,
    examples_max: usize,
) -> Plan {
    let profile = policy.profile_of(request.spec);
    let policy = &*policy.of(profile);
    let most = kept(candidates_max, examples_max);
    let count = snapshot.survey.count(snapshot, request, policy, most);
    let told = Told { fleet: snapshot, vocabulary: &snapshot.survey, request, policy, profile };
    told.plan(&count, candidates_max, examples_max)
}

impl FullScan<'_> {
    /// What [`plan`] says, found by looking at every agent.
    #[must_use]
    pub fn plan(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        candidates_max: usize,
        examples_max: usize,
    ) -> Plan {
        let Self(fleet) = *self;
        let profile = policy.profile_of(request.spec);
        let policy = &*policy.of(profile);
        let count = scan(fleet, request, policy, kept(candidates_max, examples_max));
        let told = Told { fleet, vocabulary: fleet, request, policy, profile };
        told.plan(&count, candidates_max, examples_max)
    }
}

/// One of each is always kept: the best is the one that is chosen, and the nearest to passing decides
/// what would help.
fn kept(candidates_max: usize, examples_max: usize) -> [usize; 2] {
    [candidates_max.max(1), examples_max.max(1)]
}

/// What going over a fleet comes to.
pub(super) struct Count {
    /// How many agents may take the task.
    pub(super) feasible: u64,
    /// The best of them, best first.
    pub(super) best: Vec<Number>,
    /// One for each reason for which somebody is refused.
    pub(super) refused: Vec<Tally>,
}

/// The agents refused for one reason.
pub(super) struct Tally {
    pub(super) reason: RefusalName,
    pub(super) count: u64,
    /// How many of them nothing else keeps away.
    pub(super) alone: u64,
    /// All reasons of at least one of them can pass by themselves.
    pub(super) waiting_helps: bool,
    /// Those nearest to passing, the nearest first.
    pub(super) examples: Vec<Number>,
}

impl Tally {
    pub(super) fn new(reason: RefusalName) -> Self {
        Self { reason, count: 0, alone: 0, waiting_helps: false, examples: Vec::new() }
    }
}

/// Looks at every agent.
fn scan(
    fleet: &Fleet,
    request: &Request<'_>,
    policy: &Policy,
    [best_max, examples_max]: [usize; 2],
) -> Count {
    let mut best: Vec<(Scored<'_>, Number)> = Vec::new();
    let mut feasible = 0;
    let mut groups: BTreeMap<RefusalName, (Tally, Vec<Example<'_>>)> = BTreeMap::new();
    for (number, agent) in fleet.numbered() {
        let refusals = refusals(agent, request, policy);
        if refusals.is_empty() {
            feasible += 1;
            let scored = (Scored::of(agent, request, policy), number);
            keep_first(&mut best, scored, best_max, |a, b| a.0.ranking(&b.0));
            continue;
        }
        let alone = refusals.len() == 1;
        let waiting_helps = refusals.iter().all(Refusal::waiting_helps);
        for refusal in refusals {
            let (name, shortfall) = (refusal.name(), refusal.shortfall(request));
            let group = groups.entry(name).or_insert_with(|| (Tally::new(name), Vec::new()));
            let (tally, examples) = group;
            tally.count += 1;
            tally.alone += u64::from(alone);
            tally.waiting_helps |= waiting_helps;
            let example = Example { agent, number, alone, waiting_helps, shortfall };
            keep_first(examples, example, examples_max, Example::nearest_to_passing);
        }
    }
    let tally = |(tally, examples): (Tally, Vec<Example<'_>>)| Tally {
        examples: examples.iter().map(|one| one.number).collect(),
        ..tally
    };
    Count {
        feasible,
        best: best.iter().map(|(_, number)| *number).collect(),
        refused: groups.into_values().map(tally).collect(),
    }
}

/// One refused agent.
struct Example<'a> {
    agent: &'a Agent,
    number: Number,
    /// No other reason keeps it away.
    alone: bool,
    /// All of its reasons can pass by themselves.
    waiting_helps: bool,
    shortfall: f64,
}

impl Example<'_> {
    fn nearest_to_passing(&self, other: &Self) -> Ordering {
        let rank = |example: &Self| (!example.alone, !example.waiting_helps);
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.shortfall.total_cmp(&other.shortfall))
            .then_with(|| self.agent.id.cmp(&other.agent.id))
    }
}

/// What is told of a count.
struct Told<'a> {
    fleet: &'a Fleet,
    vocabulary: &'a dyn Vocabulary,
    request: &'a Request<'a>,
    policy: &'a Policy,
    profile: Option<&'a str>,
}

impl Told<'_> {
    fn plan(&self, count: &Count, candidates_max: usize, examples_max: usize) -> Plan {
        let best = || count.best.iter().filter_map(|number| self.fleet.at(*number));
        let mut refused: Vec<Refused> =
            count.refused.iter().map(|tally| self.refused(tally, examples_max)).collect();
        refused.sort_by(|a, b| {
            b.count.cmp(&a.count).then_with(|| a.reason.name().cmp(b.reason.name()))
        });
        Plan {
            chosen: best().next().map(|agent| agent.id.clone()),
            policy: self.policy.version,
            profile: self.profile.map(str::to_owned),
            candidates: best()
                .take(candidates_max)
                .map(|agent| candidate(agent, self.request, self.policy))
                .collect(),
            agents: u64::try_from(self.fleet.len()).unwrap_or(u64::MAX),
            feasible: count.feasible,
            refused,
        }
    }

    fn refused(&self, tally: &Tally, examples_max: usize) -> Refused {
        let Self { fleet, vocabulary, request, policy, .. } = *self;
        let refused = |number: &Number| {
            let agent = fleet.at(*number)?;
            let mut refusals = refusals(agent, request, policy).into_iter();
            Some((refusals.find(|refusal| refusal.name() == tally.reason)?, agent))
        };
        let lead = tally.examples.first().and_then(refused);
        let examples = tally.examples.iter().take(examples_max).filter_map(refused);
        Refused {
            reason: tally.reason,
            count: tally.count,
            alone: tally.alone,
            waiting_helps: tally.waiting_helps,
            help: lead
                .map(|(refusal, agent)| help(&refusal, agent, request, fleet, vocabulary))
                .unwrap_or_default(),
            examples: examples
                .map(|(refusal, agent)| RefusedExample {
                    agent: agent.id.clone(),
                    detail: detail(&refusal, agent, request),
                })
                .collect(),
        }
    }
}

/// Keeps the first `kept_max` of everything it is called with, in order.
pub(super) fn keep_first<T>(
    kept: &mut Vec<T>,
    item: T,
    kept_max: usize,
    order: impl Fn(&T, &T) -> Ordering,
) {
    let position = kept.partition_point(|held| order(held, &item) != Ordering::Greater);
    if position < kept_max {
        kept.insert(position, item);
        kept.truncate(kept_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_however_many_only_the_first_are_kept() {
        let mut kept = Vec::new();
        for item in [5, 3, 9, 1, 3, 7] {
            keep_first(&mut kept, item, 3, i32::cmp);
        }
        assert_eq!(kept, [1, 3, 3]);
    }
}

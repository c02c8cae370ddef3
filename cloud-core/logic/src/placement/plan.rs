//! The dry run: what placing a task would come to, over the whole fleet. Collects the best
//! candidates and counts every refusal; owns which agents serve as examples.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use shared::api::{Plan, RefusalName, Refused, RefusedExample};

use super::Request;
use super::detail::detail;
use super::filter::refusals;
use super::help::help;
use super::policy::Policy;
use super::refusal::Refusal;
use super::score::Scored;
use crate::fleet::{Agent, Fleet};

/// What placing a task would come to now: the `candidates_max` best agents (the chosen one first,
/// and always there), and why each other one may not take it, with up to `examples_max` agents for
/// each reason, all by the policy's profile that the task asks for. An agent counts under every one of its reasons. The examples are the agents
/// nearest to taking the task: first those that nothing else keeps away, then those that waiting
/// can help, then those that lack least (the nearest ones of those too far away), then by id.
#[must_use]
pub fn plan(
    fleet: &Fleet,
    request: &Request<'_>,
    policy: &Policy,
    candidates_max: usize,
    examples_max: usize,
) -> Plan {
    let profile = policy.profile_of(request.spec);
    let policy = &*policy.of(profile);
    let mut best: Vec<Scored<'_>> = Vec::new();
    let mut feasible = 0;
    let mut groups: BTreeMap<RefusalName, Group<'_>> = BTreeMap::new();
    for agent in fleet.iter() {
        let refusals = refusals(agent, request, policy);
        if refusals.is_empty() {
            feasible += 1;
            let scored = Scored::of(agent, request, policy);
            keep_first(&mut best, scored, candidates_max.max(1), Scored::ranking);
            continue;
        }
        let alone = refusals.len() == 1;
        let waiting_helps = refusals.iter().all(Refusal::waiting_helps);
        for refusal in refusals {
            let shortfall = refusal.shortfall(request);
            let name = refusal.name();
            let example = Example { agent, refusal, alone, waiting_helps, shortfall };
            groups.entry(name).or_default().take(example, examples_max);
        }
    }
    let mut refused: Vec<Refused> = groups
        .into_iter()
        .map(|(reason, group)| group.refused(reason, request, fleet, examples_max))
        .collect();
    refused
        .sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.name().cmp(b.reason.name())));
    Plan {
        chosen: best.first().map(|best| best.candidate().agent),
        policy: policy.version,
        profile: profile.map(str::to_owned),
        candidates: best.iter().take(candidates_max).map(Scored::candidate).collect(),
        agents: u64::try_from(fleet.len()).unwrap_or(u64::MAX),
        feasible,
        refused,
    }
}

/// The agents refused for one reason.
#[derive(Default)]
struct Group<'a> {
    count: u64,
    alone: u64,
    waiting_helps: bool,
    examples: Vec<Example<'a>>,
}

/// One refused agent.
struct Example<'a> {
    agent: &'a Agent,
    refusal: Refusal,
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

impl<'a> Group<'a> {
    fn take(&mut self, example: Example<'a>, examples_max: usize) {
        self.count += 1;
        self.alone += u64::from(example.alone);
        self.waiting_helps |= example.waiting_helps;
        // One is always kept: it decides what would help.
        let kept_max = examples_max.max(1);
        keep_first(&mut self.examples, example, kept_max, Example::nearest_to_passing);
    }

    fn refused(
        self,
        reason: RefusalName,
        request: &Request<'_>,
        fleet: &Fleet,
        examples_max: usize,
    ) -> Refused {
        let lead = self.examples.first();
        let help = lead.map(|lead| help(&lead.refusal, lead.agent, request, fleet));
        let in_words = |example: &Example<'_>| RefusedExample {
            agent: example.agent.id.clone(),
            detail: detail(&example.refusal, example.agent, request),
        };
        Refused {
            reason,
            count: self.count,
            alone: self.alone,
            waiting_helps: self.waiting_helps,
            help: help.unwrap_or_default(),
            examples: self.examples.iter().take(examples_max).map(in_words).collect(),
        }
    }
}

/// Keeps the first `kept_max` of everything it is called with, in order.
fn keep_first<T>(kept: &mut Vec<T>, item: T, kept_max: usize, order: fn(&T, &T) -> Ordering) {
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

//! Tasks that are placed together. One after the other, each task takes the best agent that those
//! before it have left; where several want the same few agents, that is not the best for all of them.
//!
//! # What is sought
//!
//! For tasks of one priority, in the order of the queue: *first as many of them placed as can be; then
//! those that come first, so that nobody goes without for the sake of one behind it; then the greatest
//! sum of scores*, each score as it is when the task's turn comes and those before it hold what they
//! were given. Tasks of a higher priority are placed before, as if these did not exist.
//!
//! # The invariants
//!
//! - *What comes of placing together is never worse than one after the other*, by just that measure:
//!   both are played through, and the better one is taken.
//! - *One after the other means the same as ever*: each task gets the very agent, of the same score to
//!   the last bit, that it would get alone after those before it had reserved.
//! - *Nothing is given twice*: a plan reserves on a copy of what it touches, by the filters themselves,
//!   and whoever acts on it checks again.
//!
//! # How
//!
//! [`shortlist`]: what a task looks at are its best agents on the fleet as it stands, and a *floor* that
//! no other agent reaches. Reservations only lower scores, so what beats the floor is the best of the
//! whole fleet; where nothing does, the list grows. Tasks that ask for the same share a list. Under a
//! policy that fills agents up scores rise, and under one with a budget what is found may be beaten:
//! there tasks are placed one at a time.
//!
//! [`greedy`] places in order. What each task got less than the best of its list is all that any other
//! plan could gain: that is how contention is told, for nothing. If there is some, [`flow`] finds a
//! flow of least cost by shortest augmenting paths.

mod flow;
mod greedy;
mod shortlist;
mod standing;

use shared::api::{BatchStrategy, Candidate};
use shared::id::AgentId;

use self::greedy::greedy;
use self::shortlist::Shortlists;
use self::standing::Standings;
use super::policy::Policy;
use super::roster::Roster;
use super::{Chooser, Request};

/// The most tasks that are planned together.
pub const TOGETHER_MAX: usize = 1_024;
/// Contention worth an assignment: what tasks lost against their own best, as a part of what they got.
const NOTABLE: f64 = 0.01;

/// What placing tasks together comes to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// For each of the first tasks, in order, where it goes; `None` where no agent may take it. The
    /// rest are to be planned anew, once these have reserved.
    pub choices: Vec<Option<Choice>>,
    /// What was gained over one after the other; `None` when they were placed so.
    pub gain: Option<Gain>,
}

/// Where one task goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The agent, with the score as it is when the tasks before it have reserved.
    pub candidate: Candidate,
    /// The agent that was best for it alone, where it stood back for others.
    pub own_best: Option<AgentId>,
}

/// What placing tasks together gained over one after the other. Who is placed comes first, so the
/// score may be lower where that differs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gain {
    /// How many more were placed.
    pub placed: usize,
    /// How much greater the sum of scores is.
    pub score: f64,
}

/// Where each task goes, with the value of it all.
#[derive(Debug, Default)]
struct Plan {
    choices: Vec<Option<Candidate>>,
    placed: usize,
    score: f64,
}

impl Plan {
    fn push(&mut self, choice: Option<Candidate>) {
        if let Some(candidate) = &choice {
            self.placed += 1;
            self.score += candidate.score;
        }
        self.choices.push(choice);
    }

    fn is_better_than(&self, other: &Self) -> bool {
        let placed = |plan: &Self| plan.choices.iter().map(Option::is_some).collect::<Vec<_>>();
        let order = self.placed.cmp(&other.placed);
        let order = order.then_with(|| placed(self).cmp(&placed(other)));
        order.then_with(|| self.score.total_cmp(&other.score)).is_gt()
    }

    fn into_batch(self, gain: Option<Gain>) -> Batch {
        let choice = |candidate| Choice { candidate, own_best: None };
        Batch { choices: self.choices.into_iter().map(|one| one.map(choice)).collect(), gain }
    }
}

impl Roster {
    /// Plans tasks of one priority together, in the order in which they would be placed alone. At
    /// most [`TOGETHER_MAX`] are looked at; at least the first is planned.
    #[must_use]
    pub fn place_together(
        &self,
        requests: &[Request<'_>],
        policy: &Policy,
        strategy: BatchStrategy,
    ) -> Batch {
        let requests = &requests[..requests.len().min(TOGETHER_MAX)];
        if policy.packing || policy.budget_us.is_some() || requests.len() == 1 {
            let mut plan = Plan::default();
            requests.iter().take(1).for_each(|one| plan.push(self.best(one, policy)));
            return plan.into_batch(None);
        }
        let mut lists = Shortlists::new(self, requests, policy);
        let (one_by_one, loss) = greedy(&mut lists);
        let competes = match strategy {
            BatchStrategy::Greedy => false,
            BatchStrategy::Assign => loss.is_any(),
            BatchStrategy::Auto => loss.is_notable(one_by_one.score),
        };
        if !competes {
            return one_by_one.into_batch(None);
        }
        let planned = one_by_one.choices.len();
        let together = flow::assign(&mut lists, planned);
        if !together.is_better_than(&one_by_one) {
            return one_by_one.into_batch(None);
        }
        let gain = Gain {
            placed: together.placed - one_by_one.placed,
            score: together.score - one_by_one.score,
        };
        let mut batch = together.into_batch(Some(gain));
        for (task, choice) in batch.choices.iter_mut().enumerate() {
            if let Some(choice) = choice {
                choice.own_best = lists.own_best(task, &choice.candidate);
            }
        }
        batch
    }
}

/// What tasks lost by taking turns, against the best of the whole fleet for each of them alone. No
/// plan can gain more. Only those count that lost it to tasks that ask for something else: among
/// equals nobody can do better than in turn.
#[derive(Debug, Default)]
struct Loss {
    unplaced: usize,
    score: f64,
}

impl Loss {
    fn is_any(&self) -> bool {
        self.unplaced > 0 || self.score > 0.0
    }

    fn is_notable(&self, of: f64) -> bool {
        self.unplaced > 0 || self.score > NOTABLE * of
    }
}

/// Plays a plan through in order: what each task scores where it goes, when its turn comes.
fn play(lists: &Shortlists<'_>, goes: &[Option<u32>]) -> Plan {
    let mut standings = Standings::default();
    let mut plan = Plan::default();
    for (task, site) in goes.iter().enumerate() {
        let request = lists.request_of(task);
        let site = site.filter(|site| standings.may_take(lists, *site, request));
        plan.push(site.map(|site| {
            let candidate = standings.candidate(lists, site, request);
            standings.reserve(lists, site, request);
            candidate
        }));
    }
    plan
}

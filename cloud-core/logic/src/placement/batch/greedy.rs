//! In order: each task takes the best that is left. A score on a list is a bound on what the agent
//! scores now, so only what comes to the top is scored again (Minoux, "Accelerated greedy
//! algorithms", 1978).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shared::id::AgentId;

use super::shortlist::{LISTED_MAX, NOBODY, Shortlists, Site};
use super::standing::Standings;
use super::{Loss, Plan};

/// An agent that a kind of task may still get. Compares as placement prefers: the higher score, then
/// the smaller id. A score is never negative, so its bits order as it does.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Prospect<'a> {
    score: u64,
    id: Reverse<&'a AgentId>,
    site: Site,
    /// How many tasks the agent had been given when it scored that.
    taken: u32,
}

/// What one kind of task sees.
#[derive(Default)]
struct View<'a> {
    prospects: BinaryHeap<Prospect<'a>>,
    /// How many of its list are among them, or were.
    listed: usize,
    /// It lost an agent, or a part of it, to tasks of another kind.
    has_rivals: bool,
}

/// Whose tasks an agent was given.
#[derive(Clone, Copy, PartialEq)]
enum Takers {
    Nobody,
    Kind(usize),
    Several,
}

/// One after the other, and what they lost by it. Ends before a task whose list is as long as it may
/// be, and not long enough.
pub(super) fn greedy(lists: &mut Shortlists<'_>) -> (Plan, Loss) {
    let (mut plan, mut loss) = (Plan::default(), Loss::default());
    let mut standings = Standings::default();
    let mut takers: Vec<Takers> = Vec::new();
    let mut views: Vec<View<'_>> = Vec::new();
    views.resize_with(lists.lists.len(), View::default);
    for task in 0..lists.kinds.len() {
        let kind = lists.kind_of(task);
        let view = &mut views[kind];
        let Some(found) = next(lists, kind, view, &mut standings, &takers) else {
            break;
        };
        let request = *lists.request_of(task);
        plan.push(found.map(|site| {
            let candidate = standings.candidate(lists, site, &request);
            standings.reserve(lists, site, &request);
            take(&mut takers, site, kind);
            candidate
        }));
        if !view.has_rivals {
            continue;
        }
        let best = lists.lists[kind].best();
        match (best, plan.choices.last().and_then(Option::as_ref)) {
            (Some(best), Some(got)) => loss.score += best - got.score,
            (Some(_), None) => loss.unplaced += 1,
            (None, _) => {}
        }
    }
    (plan, loss)
}

fn take(takers: &mut Vec<Takers>, site: Site, kind: usize) {
    let at = site as usize;
    if takers.len() <= at {
        takers.resize(at + 1, Takers::Nobody);
    }
    takers[at] = match takers[at] {
        Takers::Nobody => Takers::Kind(kind),
        same if same == Takers::Kind(kind) => same,
        _ => Takers::Several,
    };
}

/// The best agent for a task of a kind now; `Some(None)` when nobody may take it, `None` when the
/// list does not say.
fn next<'a>(
    lists: &mut Shortlists<'a>,
    kind: usize,
    view: &mut View<'a>,
    standings: &mut Standings<'a>,
    takers: &[Takers],
) -> Option<Option<Site>> {
    loop {
        let list = &lists.lists[kind];
        for entry in &list.entries[view.listed..] {
            let id = Reverse(&lists.agent(entry.site).id);
            let score = entry.score.to_bits();
            view.prospects.push(Prospect { score, id, site: entry.site, taken: 0 });
        }
        view.listed = list.entries.len();
        let (request, floor) = (list.request, list.floor);
        while let Some(mut top) = view.prospects.peek_mut() {
            let taken = standings.taken(top.site);
            let score = f64::from_bits(top.score);
            if top.taken == taken {
                // Beyond the list nobody scores more; of those who score the same, they have the
                // larger ids, unless this one has come down to it.
                if score > floor || (score == floor && taken == 0) {
                    return Some(Some(top.site));
                }
                break;
            }
            view.has_rivals |= takers[top.site as usize] != Takers::Kind(kind);
            if !standings.may_take(lists, top.site, &request) {
                std::collections::binary_heap::PeekMut::pop(top);
                continue;
            }
            top.taken = taken;
            top.score = standings.score(lists, top.site, &request).to_bits();
        }
        if floor == NOBODY {
            return Some(None);
        }
        if view.listed >= LISTED_MAX {
            return None;
        }
        lists.grow(kind);
    }
}

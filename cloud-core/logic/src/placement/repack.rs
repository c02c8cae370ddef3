//! Packing the index anew while the core goes on. Packing a large fleet takes seconds, so it is done
//! elsewhere, over a snapshot; what came meanwhile is replayed on what was packed, there as well as
//! long as it is much, at last in the core.
//!
//! The invariant: *the numbers noted since a snapshot are those of all agents that may be other than
//! they were in it*. So an index over the snapshot, with those put again, is an index over the fleet.

use super::index::Index;
use crate::fleet::{Fleet, Number};

/// So few changes are replayed by the core itself.
const REPLAYED_MAX: usize = if cfg!(test) { 40 } else { 4_000 };

/// Work to be done beside the core, on any thread: [`Repack::work`].
#[derive(Debug)]
pub struct Repack {
    /// The fleet at one moment.
    fleet: Fleet,
    /// What was packed already; agents to put again.
    packed: Option<Index>,
    noted: Vec<Number>,
}

/// What came of it, for [`Roster::end_repack`](super::Roster::end_repack).
#[derive(Debug)]
pub struct Repacked(Index);

/// What is left to do.
#[derive(Debug)]
pub enum Repacking {
    /// More came meanwhile than the core should replay itself.
    GoesOn(Repack),
    /// Nothing. What it was before is best let go elsewhere: that takes its time, too.
    Done(Repacked),
}

impl Repack {
    pub(super) fn new(fleet: Fleet) -> Self {
        Self { fleet, packed: None, noted: Vec::new() }
    }

    /// Packs, or replays. Comes to the same wherever it is done.
    #[must_use]
    pub fn work(self) -> Repacked {
        let Self { fleet, packed, noted } = self;
        let mut index = packed.unwrap_or_else(|| Index::new(&fleet));
        replay(&mut index, &fleet, noted);
        Repacked(index)
    }
}

/// What happens to a roster while its index is packed elsewhere.
#[derive(Debug, Default)]
pub(super) struct Notes(Option<Vec<Number>>);

impl Notes {
    /// An agent may be other than it was.
    pub(super) fn note(&mut self, number: Number) {
        if let Self(Some(noted)) = self {
            noted.push(number);
        }
    }

    /// Whether packing is under way.
    pub(super) fn are_taken(&self) -> bool {
        self.0.is_some()
    }

    /// From now on.
    pub(super) fn begin(&mut self) {
        self.0 = Some(Vec::new());
    }

    /// Nobody packs any more.
    pub(super) fn end(&mut self) {
        self.0 = None;
    }
}

/// Puts what came of packing in the place of an index, unless there is more to replay.
pub(super) fn take_over(
    index: &mut Index,
    fleet: &Fleet,
    notes: &mut Notes,
    Repacked(mut packed): Repacked,
) -> Repacking {
    let noted = distinct(std::mem::take(&mut notes.0).unwrap_or_default());
    if noted.len() > REPLAYED_MAX {
        notes.begin();
        return Repacking::GoesOn(Repack { fleet: fleet.snapshot(), packed: Some(packed), noted });
    }
    replay(&mut packed, fleet, noted);
    Repacking::Done(Repacked(std::mem::replace(index, packed)))
}

fn distinct(mut numbers: Vec<Number>) -> Vec<Number> {
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Makes an index over an earlier state one over this, given whoever may have changed.
fn replay(index: &mut Index, fleet: &Fleet, noted: Vec<Number>) {
    let noted = distinct(noted);
    let (here, gone): (Vec<Number>, Vec<Number>) =
        noted.into_iter().partition(|number| fleet.at(*number).is_some());
    gone.into_iter().for_each(|number| index.remove(number));
    let mut agents: Vec<_> =
        here.into_iter().filter_map(|number| Some((number, fleet.at(number)?))).collect();
    // In the order of their ids: so whoever stands before a newcomer is there already. Who stands
    // behind may be another newcomer; then it is the next that is there.
    agents.sort_unstable_by(|(_, a), (_, b)| a.id.cmp(&b.id));
    for (number, agent) in agents {
        let [before, _] = fleet.beside(&agent.id);
        let after = fleet.after(Some(&agent.id)).filter_map(|next| fleet.number(&next.id));
        let after = after.into_iter().find(|next| index.has(*next));
        index.put(number, agent, before, after);
    }
}

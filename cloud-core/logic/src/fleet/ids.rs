//! The ids of all agents, in order, each with its number. They stand in runs, so that a snapshot
//! shares them: a newcomer copies one run at most, and a clone costs one step for each run.

use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Unbounded};
use std::sync::Arc;

use shared::id::AgentId;

use super::numbered::Number;

/// The most ids in one run; one more divides it.
const RUN_MAX: usize = 2_048;

type Run = BTreeMap<AgentId, Number>;

/// See the [module](self).
#[derive(Debug, Clone, Default)]
pub(super) struct Ids {
    /// By what none of their ids is below, but for the first run, which has all that are below the
    /// second. No run is empty.
    runs: BTreeMap<AgentId, Arc<Run>>,
    len: usize,
}

impl Ids {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of an id.
    pub(super) fn get(&self, id: &AgentId) -> Option<Number> {
        let (_, run) = self.run_of(id)?;
        run.get(id).copied()
    }

    /// Adds an id that is not there.
    pub(super) fn insert(&mut self, id: AgentId, number: Number) {
        let Some(from) = self.run_of(&id).map(|(from, _)| from.clone()) else {
            self.runs.insert(id.clone(), Arc::new(Run::from([(id, number)])));
            self.len += 1;
            return;
        };
        let Some(run) = self.runs.get_mut(&from).map(Arc::make_mut) else {
            return;
        };
        self.len += usize::from(run.insert(id, number).is_none());
        if run.len() > RUN_MAX
            && let Some(middle) = run.keys().nth(RUN_MAX / 2).cloned()
        {
            let upper = run.split_off(&middle);
            self.runs.insert(middle, Arc::new(upper));
        }
    }

    /// Takes an id out; says its number.
    pub(super) fn remove(&mut self, id: &AgentId) -> Option<Number> {
        let from = self.run_of(id)?.0.clone();
        let run = self.runs.get_mut(&from).map(Arc::make_mut)?;
        let number = run.remove(id)?;
        if run.is_empty() {
            self.runs.remove(&from);
        }
        self.len -= 1;
        Some(number)
    }

    /// Those from a bound on, in order.
    pub(super) fn from<'a>(
        &'a self,
        bound: Bound<&AgentId>,
    ) -> impl Iterator<Item = (&'a AgentId, Number)> {
        let first = match bound {
            Unbounded => None,
            Bound::Included(id) | Excluded(id) => self.run_of(id),
        };
        let later = match first {
            Some((from, _)) => (Excluded(from), Unbounded),
            None => (Unbounded, Unbounded),
        };
        let within = first
            .into_iter()
            .flat_map(move |(_, run)| run.range::<AgentId, _>((bound.cloned(), Unbounded)));
        let later = self.runs.range::<AgentId, _>(later).flat_map(|(_, run)| run.iter());
        within.chain(later).map(|(id, number)| (id, *number))
    }

    /// The number of the last one before an id.
    pub(super) fn before(&self, id: &AgentId) -> Option<Number> {
        let (from, run) = self.run_of(id)?;
        let within = || run.range::<AgentId, _>((Unbounded, Excluded(id))).next_back();
        let earlier = || {
            let (_, run) =
                self.runs.range::<AgentId, _>((Unbounded, Excluded(from))).next_back()?;
            run.last_key_value()
        };
        within().or_else(earlier).map(|(_, number)| *number)
    }

    /// The run in which an id is, or would be.
    fn run_of(&self, id: &AgentId) -> Option<(&AgentId, &Arc<Run>)> {
        let below = self.runs.range::<AgentId, _>(..=id).next_back();
        below.or_else(|| self.runs.first_key_value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against an ordered map, in an order that divides runs everywhere and empties some.
    #[test]
    fn runs_together_are_one_ordered_map() {
        let id = |number: u32| -> AgentId { format!("a{number:05}").parse().expect("an id") };
        let (mut ids, mut naive) = (Ids::default(), BTreeMap::new());
        for step in 0..20_000 {
            let number = step * 7_919 % 10_007;
            ids.insert(id(number), number);
            naive.insert(id(number), number);
        }
        let snapshot = (ids.clone(), naive.clone());
        for number in (0..5_000).chain(5_001..9_000) {
            assert_eq!(ids.remove(&id(number)), naive.remove(&id(number)));
            assert_eq!(ids.remove(&id(number)), None);
        }
        for (ids, naive) in [(ids, naive), snapshot] {
            assert_eq!(ids.len(), naive.len());
            let all = ids.from(Unbounded).map(|(id, number)| (id.clone(), number));
            assert!(all.eq(naive.clone()));
            for number in (0..10_020).step_by(37) {
                let id = id(number);
                assert_eq!(ids.get(&id), naive.get(&id).copied());
                let before = naive.range(..&id).next_back().map(|(_, number)| *number);
                assert_eq!(ids.before(&id), before, "{id}");
                let behind = naive.range((Excluded(&id), Unbounded)).next();
                let behind = behind.map(|(id, number)| (id, *number));
                assert_eq!(ids.from(Excluded(&id)).next(), behind, "{id}");
            }
        }
    }
}

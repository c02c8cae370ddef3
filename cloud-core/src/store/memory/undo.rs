//! How to take back what a transaction in memory has done so far.

use std::collections::BTreeMap;

use super::State;

/// How to take back what a transaction has done so far.
#[derive(Default)]
pub(super) struct Undo(pub(super) Vec<UndoStep>);

pub(super) type UndoStep = Box<dyn FnOnce(&mut State)>;

impl Undo {
    pub(super) fn run(self, state: &mut State) {
        for step in self.0.into_iter().rev() {
            step(state);
        }
    }
}

impl State {
    /// Puts a value into one of the maps, and notes how to take that back.
    pub(super) fn put<K: Ord + Clone + 'static, V: 'static>(
        &mut self,
        map: fn(&mut Self) -> &mut BTreeMap<K, V>,
        key: K,
        value: V,
        undo: &mut Undo,
    ) {
        let before = map(self).insert(key.clone(), value);
        undo.0.push(Box::new(move |state| match before {
            Some(value) => drop(map(state).insert(key, value)),
            None => drop(map(state).remove(&key)),
        }));
    }
}

//! Which resident schedules an agent can matter to, found by its id and its labels: so that one that
//! moves or says hello is held against a few schedules and not against all. Whoever is found may still
//! not fit; whoever fits is found.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::AgentId;
use shared::label::Labels;
use shared::spec::Place;

use super::Slot;
use super::listeners::take;

/// By what a schedule is found: by each agent that it names, by one label that it asks for, or by
/// every agent.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    Agents(Vec<AgentId>),
    Label(String, String),
    Any,
}

/// Slots by what they are found by.
#[derive(Debug, Default)]
pub(super) struct Reach {
    marks: BTreeMap<Slot, Mark>,
    by_agent: BTreeMap<AgentId, BTreeSet<Slot>>,
    by_label: BTreeMap<String, BTreeMap<String, BTreeSet<Slot>>>,
    any: BTreeSet<Slot>,
}

impl Reach {
    /// Takes up where a schedule may go, in place of where it might go before.
    pub(super) fn put(&mut self, slot: Slot, place: &Place) {
        self.remove(slot);
        let mark = self.mark_of(place);
        match &mark {
            Mark::Agents(agents) => {
                for agent in agents {
                    self.by_agent.entry(agent.clone()).or_default().insert(slot);
                }
            }
            Mark::Label(key, value) => {
                let values = self.by_label.entry(key.clone()).or_default();
                values.entry(value.clone()).or_default().insert(slot);
            }
            Mark::Any => {
                self.any.insert(slot);
            }
        }
        self.marks.insert(slot, mark);
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        match self.marks.remove(&slot) {
            Some(Mark::Agents(agents)) => {
                for agent in agents {
                    take(&mut self.by_agent, &agent, slot);
                }
            }
            Some(Mark::Label(key, value)) => {
                if let Some(values) = self.by_label.get_mut(&key) {
                    take(values, &value, slot);
                    if values.is_empty() {
                        self.by_label.remove(&key);
                    }
                }
            }
            Some(Mark::Any) => {
                self.any.remove(&slot);
            }
            None => {}
        }
    }

    /// The schedules that an agent with these labels can matter to.
    pub(super) fn of(&self, agent: &AgentId, labels: &Labels) -> BTreeSet<Slot> {
        let named = self.by_agent.get(agent).into_iter().flatten();
        let labeled = labels.iter().filter_map(|(key, value)| self.by_label.get(key)?.get(value));
        self.any.iter().chain(named).chain(labeled.flatten()).copied().collect()
    }

    /// Of several labels the one that finds the fewest others.
    fn mark_of(&self, place: &Place) -> Mark {
        if !place.agents.is_empty() {
            return Mark::Agents(place.agents.clone());
        }
        let others = |(key, value): &(&String, &String)| {
            self.by_label.get(*key).and_then(|values| values.get(*value)).map_or(0, BTreeSet::len)
        };
        match place.labels.iter().min_by_key(others) {
            Some((key, value)) => Mark::Label(key.clone(), value.clone()),
            None => Mark::Any,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Labels> {
        btree_map("[ab]", "[xyz]", 0..3)
    }

    fn agent() -> impl Strategy<Value = AgentId> {
        "[pqr]".prop_map(|id| id.parse().expect("an id"))
    }

    fn place() -> impl Strategy<Value = Place> {
        (labels(), btree_set(agent(), 0..3)).prop_map(|(labels, agents)| Place {
            labels,
            agents: agents.into_iter().collect(),
            ..Place::default()
        })
    }

    fn may_go(place: &Place, agent: &AgentId, labels: &Labels) -> bool {
        (place.agents.is_empty() || place.agents.contains(agent))
            && place.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    }

    proptest! {
        #[test]
        fn whoever_fits_is_found_and_nothing_is_left_of_what_went(
            steps in vec((0..6_u32, prop::option::weighted(0.8, place())), 1..40),
            agent in agent(),
            labels in labels(),
        ) {
            let (mut reach, mut model) = (Reach::default(), BTreeMap::new());
            for (slot, place) in steps {
                match place {
                    Some(place) => {
                        reach.put(slot, &place);
                        model.insert(slot, place);
                    }
                    None => {
                        reach.remove(slot);
                        model.remove(&slot);
                    }
                }
                let found = reach.of(&agent, &labels);
                for (slot, place) in &model {
                    let named = place.agents.contains(&agent);
                    let fits = may_go(place, &agent, &labels);
                    prop_assert!(!fits || found.contains(slot));
                    prop_assert!(place.agents.is_empty() || named || !found.contains(slot));
                }
                prop_assert!(found.iter().all(|slot| model.contains_key(slot)));
            }
            model.keys().for_each(|slot| reach.remove(*slot));
            prop_assert!(reach.by_agent.is_empty() && reach.by_label.is_empty());
            prop_assert!(reach.any.is_empty() && reach.marks.is_empty());
        }
    }
}

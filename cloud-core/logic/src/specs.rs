//! What the tasks that are not settled ask for, each kept once: a fleet's tasks are mostly alike,
//! and a hundred thousand of them that wait need not hold a hundred thousand copies.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;
use shared::label::Labels;
use shared::spec::TaskSpec;

/// How many are kept before it is first looked which of them nobody uses any more.
const SWEEP_FIRST: usize = 1_024;

/// Every spec that is in use, by a digest of what decides in it.
#[derive(Debug)]
pub(crate) struct Specs {
    by_digest: BTreeMap<u64, Arc<TaskSpec>>,
    /// How many there may be before the next look.
    sweep_at: usize,
}

impl Default for Specs {
    fn default() -> Self {
        Self { by_digest: BTreeMap::new(), sweep_at: SWEEP_FIRST }
    }
}

impl Specs {
    /// What decides in a spec, shared with every task that asks for the same. Name and labels
    /// decide nothing, tell most tasks apart, and are left out.
    pub(crate) fn share(&mut self, spec: &TaskSpec) -> Arc<TaskSpec> {
        let digest = digest_of(spec);
        if let Some(kept) = self.by_digest.get(&digest) {
            return match deciding(kept) == deciding(spec) {
                true => Arc::clone(kept),
                // Two with one digest: whoever came first is shared, the other is not.
                false => Arc::new(bare(spec)),
            };
        }
        self.sweep();
        let fresh = Arc::new(bare(spec));
        self.by_digest.insert(digest, Arc::clone(&fresh));
        fresh
    }

    /// Lets go of what nobody uses, once there is twice as much as after the last time: each
    /// addition pays for its share of it.
    fn sweep(&mut self) {
        if self.by_digest.len() >= self.sweep_at {
            self.by_digest.retain(|_, spec| Arc::strong_count(spec) > 1);
            self.sweep_at = SWEEP_FIRST.max(self.by_digest.len() * 2);
        }
    }
}

/// A spec without what decides nothing.
fn bare(spec: &TaskSpec) -> TaskSpec {
    TaskSpec { name: None, labels: Labels::new(), ..spec.clone() }
}

/// What decides in a spec. A new field is part of it, unless it is named here as one that is not.
fn deciding(spec: &TaskSpec) -> impl PartialEq + Serialize {
    let TaskSpec {
        name: _,
        labels: _,
        run,
        needs,
        place,
        prefer,
        priority,
        timeout_s,
        deadline_s,
        retry,
        disconnect,
        exclusive,
    } = spec;
    let limits = (priority, timeout_s, deadline_s, exclusive);
    (run, needs, place, prefer, limits, retry, disconnect)
}

fn digest_of(spec: &TaskSpec) -> u64 {
    // Serialization of plain data into memory does not fail; if it did, all such specs would have
    // one digest, and be kept apart.
    let text = serde_json::to_vec(&deciding(spec)).unwrap_or_default();
    // Its key is a constant: the same specs have the same digests in every run.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::spec::{Exec, Run};

    fn spec(which: u64, name: &str) -> TaskSpec {
        let exec = Exec { command: format!("program-{which}"), ..Exec::default() };
        let labels = Labels::from([("name".to_owned(), name.to_owned())]);
        TaskSpec { name: Some(name.to_owned()), labels, ..TaskSpec::new(Run::Exec(exec)) }
    }

    proptest! {
        /// Against the simplest model: a list of what was asked for.
        #[test]
        fn equal_specs_are_one_and_different_ones_are_what_they_were(
            asked in prop::collection::vec((0_u64..5, "[a-c]"), 1..40)
        ) {
            let mut specs = Specs::default();
            let mut shared: Vec<(u64, Arc<TaskSpec>)> = Vec::new();
            for (which, name) in asked {
                let asked = spec(which, &name);
                let got = specs.share(&asked);
                prop_assert!(deciding(&got) == deciding(&asked));
                for (other, earlier) in &shared {
                    prop_assert_eq!(*other == which, Arc::ptr_eq(earlier, &got));
                }
                shared.push((which, got));
            }
        }
    }

    #[test]
    fn what_nobody_uses_is_let_go_of_and_what_is_used_stays() {
        let mut specs = Specs::default();
        let used = specs.share(&spec(0, "used"));
        for which in 1..20_000 {
            specs.share(&spec(which, "gone at once"));
            assert!(specs.by_digest.len() <= SWEEP_FIRST + 1, "{}", specs.by_digest.len());
        }
        assert!(Arc::ptr_eq(&used, &specs.share(&spec(0, "the same"))));
    }

    #[test]
    fn every_field_that_decides_keeps_two_specs_apart() {
        let base = spec(1, "a");
        let mut others = vec![base.clone(); 10];
        others[0].run = Run::Noop {};
        others[1].needs.cpu_millis = 7;
        others[2].place.arch = vec!["arm64".to_owned()];
        others[3].prefer.load = Some(3);
        others[4].priority = 51;
        others[5].timeout_s = None;
        others[6].deadline_s = Some(9);
        others[7].retry.attempts_max = 4;
        others[8].exclusive = true;
        others[9].disconnect.replace = false;
        let mut specs = Specs::default();
        let first = specs.share(&base);
        for other in others {
            assert!(!Arc::ptr_eq(&first, &specs.share(&other)), "{other:?}");
        }
    }
}

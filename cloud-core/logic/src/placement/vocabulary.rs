//! Which words the agents of a fleet have, for advice that names what there is. Each list is in
//! order, and has each word once.

use std::collections::BTreeSet;

use crate::fleet::{Agent, Fleet};

/// The words of a fleet.
pub(super) trait Vocabulary {
    /// Kinds of devices of which some agent has at least one.
    fn devices(&self) -> Vec<&str>;
    /// Architectures.
    fn architectures(&self) -> Vec<&str>;
    /// Regions.
    fn regions(&self) -> Vec<&str>;
    /// What agents have as the label of this key.
    fn values(&self, key: &str) -> Vec<&str>;
    /// Whether any agent has a label.
    fn has_label(&self, key: &str, value: &str) -> bool;
}

impl Vocabulary for Fleet {
    fn devices(&self) -> Vec<&str> {
        words_of(self, |agent| {
            let devices = agent.facts.capacity.devices.iter();
            devices.filter(|&(_, &count)| count > 0).map(|(name, _)| name.as_str())
        })
    }

    fn architectures(&self) -> Vec<&str> {
        words_of(self, |agent| [agent.facts.arch.as_str()])
    }

    fn regions(&self) -> Vec<&str> {
        words_of(self, |agent| agent.facts.region.as_deref())
    }

    fn values(&self, key: &str) -> Vec<&str> {
        words_of(self, |agent| agent.facts.labels.get(key).map(String::as_str))
    }

    fn has_label(&self, key: &str, value: &str) -> bool {
        self.iter().any(|agent| agent.facts.labels.get(key).is_some_and(|held| held == value))
    }
}

fn words_of<'a, I>(fleet: &'a Fleet, words: impl Fn(&'a Agent) -> I) -> Vec<&'a str>
where
    I: IntoIterator<Item = &'a str>,
{
    fleet.iter().flat_map(words).collect::<BTreeSet<_>>().into_iter().collect()
}

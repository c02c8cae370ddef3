//! Words as numbers. Whatever an agent says of itself in words (labels, architecture, region, kinds
//! of run, devices, taints) becomes a token, exactly one per word, so that asking for a word is
//! comparing numbers and never a guess.

use std::collections::BTreeMap;

use shared::wire::uplink::Facts;

/// A word. Taints are told apart by [`TAINT`], so that they stand behind all others.
pub(super) type Token = u32;

/// The bit that a taint's token has.
pub(super) const TAINT: Token = 1 << 31;

/// Every word of the fleet. One that no agent has any more stays until the index is built anew.
#[derive(Debug, Clone, Default)]
pub(super) struct Dictionary {
    labels: BTreeMap<String, Key>,
    arch: BTreeMap<String, Token>,
    regions: BTreeMap<String, Token>,
    runtimes: BTreeMap<String, Token>,
    devices: BTreeMap<String, Token>,
    /// The most of each kind of device that any agent ever had.
    most: BTreeMap<Token, u32>,
    taints: BTreeMap<String, Token>,
    /// How many tokens were given.
    given: Token,
}

/// A label's key, and the values it has.
#[derive(Debug, Clone)]
struct Key {
    itself: Token,
    values: BTreeMap<String, Token>,
}

/// The token of a word, a new one for a new word.
fn token(words: &mut BTreeMap<String, Token>, word: &str, given: &mut Token, kind: Token) -> Token {
    if let Some(&known) = words.get(word) {
        return known;
    }
    let fresh = *given | kind;
    *given += 1;
    words.insert(word.to_owned(), fresh);
    fresh
}

impl Dictionary {
    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.given as usize
    }

    /// The words of an agent, in order, each once. A device of which it has none is no word.
    pub(super) fn words(&mut self, facts: &Facts) -> Box<[Token]> {
        let Self { labels, arch, regions, runtimes, devices, most, taints, given } = self;
        let mut words = Vec::with_capacity(2 * facts.labels.len() + 6);
        for (name, value) in &facts.labels {
            if !labels.contains_key(name) {
                let key = Key { itself: *given, values: BTreeMap::new() };
                *given += 1;
                labels.insert(name.clone(), key);
            }
            if let Some(key) = labels.get_mut(name) {
                words.push(key.itself);
                words.push(token(&mut key.values, value, given, 0));
            }
        }
        words.push(token(arch, &facts.arch, given, 0));
        words.extend(facts.region.iter().map(|word| token(regions, word, given, 0)));
        words.extend(facts.runtimes.iter().map(|word| token(runtimes, word, given, 0)));
        for (word, &count) in facts.capacity.devices.iter().filter(|&(_, &count)| count > 0) {
            let device = token(devices, word, given, 0);
            let most = most.entry(device).or_default();
            *most = count.max(*most);
            words.push(device);
        }
        words.extend(facts.taints.iter().map(|word| token(taints, word, given, TAINT)));
        words.sort_unstable();
        words.dedup();
        words.into()
    }

    /// The words of an agent if all of them are known.
    pub(super) fn known(&self, facts: &Facts) -> Option<Box<[Token]>> {
        let mut words = vec![self.arch(&facts.arch)];
        for (key, value) in &facts.labels {
            words.extend([self.label_key(key), self.label(key, value)]);
        }
        words.extend(facts.region.iter().map(|word| self.region(word)));
        words.extend(facts.runtimes.iter().map(|word| self.runtime(word)));
        words.extend(facts.taints.iter().map(|word| self.taint(word)));
        let there = facts.capacity.devices.iter().filter(|&(_, &count)| count > 0);
        words.extend(there.map(|(word, _)| self.device(word)));
        words.sort_unstable();
        words.dedup();
        words.into_iter().collect()
    }

    pub(super) fn label_key(&self, key: &str) -> Option<Token> {
        self.labels.get(key).map(|key| key.itself)
    }

    pub(super) fn label(&self, key: &str, value: &str) -> Option<Token> {
        self.labels.get(key)?.values.get(value).copied()
    }

    pub(super) fn arch(&self, word: &str) -> Option<Token> {
        self.arch.get(word).copied()
    }

    pub(super) fn region(&self, word: &str) -> Option<Token> {
        self.regions.get(word).copied()
    }

    pub(super) fn runtime(&self, word: &str) -> Option<Token> {
        self.runtimes.get(word).copied()
    }

    pub(super) fn device(&self, word: &str) -> Option<Token> {
        self.devices.get(word).copied()
    }

    /// The most of a kind of device that any agent has, at least.
    pub(super) fn most(&self, device: Token) -> u32 {
        self.most.get(&device).copied().unwrap_or(0)
    }

    pub(super) fn taint(&self, word: &str) -> Option<Token> {
        self.taints.get(word).copied()
    }
}

//! Words as numbers. Whatever an agent says of itself in words (labels, architecture, region, kinds
//! of run, devices, taints) becomes a token, exactly one per word, so that asking for a word is
//! comparing numbers and never a guess.

use std::sync::Arc;

use shared::wire::uplink::Facts;

use crate::lookup::{Lookup, hash};
use crate::shelves::Shelves;

/// A word. Taints are told apart by [`TAINT`], so that they stand behind all others.
pub(super) type Token = u32;

/// The bit that a taint's token has.
pub(super) const TAINT: Token = 1 << 31;

/// What a word says of an agent: the same text is another word where it says something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has a label of this key.
    LabelKey,
    /// It has this value for the label whose key has this token.
    Label(Token),
    Arch,
    Region,
    Runtime,
    /// It has such a device.
    Device,
    Taint,
}

/// Every word of the fleet. One that no agent has any more stays until the index is built anew. A
/// clone shares all words with the original; one that is new to either is put into a copy of the
/// lookup, once.
#[derive(Debug, Clone, Default)]
pub(super) struct Dictionary {
    /// By token.
    words: Shelves<Word>,
    lookup: Arc<Lookup>,
}

#[derive(Debug, Clone)]
struct Word {
    kind: Kind,
    text: Box<str>,
    /// How many agents have it.
    agents: u32,
    /// The most of a kind of device that any agent ever had.
    most: u32,
}

impl Word {
    fn hash(&self) -> u64 {
        hash_of(self.kind, &self.text)
    }
}

fn hash_of(kind: Kind, text: &str) -> u64 {
    let kind = match kind {
        Kind::LabelKey => 1,
        Kind::Arch => 2,
        Kind::Region => 3,
        Kind::Runtime => 4,
        Kind::Device => 5,
        Kind::Taint => 6,
        Kind::Label(key) => u64::from(key) + 7,
    };
    hash(text) ^ kind.wrapping_mul(0xd6e8_feb8_6659_fd93)
}

impl Dictionary {
    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    /// The words of an agent, in order, each once; those that are new become known. A device of which
    /// it has none is no word.
    pub(super) fn words(&mut self, facts: &Facts) -> Box<[Token]> {
        for (name, &count) in &facts.capacity.devices {
            if count > 0 {
                let device = self.learn(Kind::Device, name);
                if count > self.most(device) {
                    self.words[device as usize].most = count;
                }
            }
        }
        spell(facts, |kind, text| Some(self.learn(kind, text))).unwrap_or_default()
    }

    /// The words of an agent if all of them are known.
    pub(super) fn known(&self, facts: &Facts) -> Option<Box<[Token]>> {
        spell(facts, |kind, text| self.token(kind, text))
    }

    /// An agent has these words.
    pub(super) fn take(&mut self, words: &[Token]) {
        words.iter().for_each(|word| self.word_mut(*word).agents += 1);
    }

    /// So many more agents have each word, by token without [`TAINT`].
    pub(super) fn take_all(&mut self, agents: &[u32]) {
        for (at, agents) in agents.iter().enumerate().filter(|(_, agents)| **agents > 0) {
            self.words[at].agents += agents;
        }
    }

    /// An agent does not have these words any more.
    pub(super) fn give_back(&mut self, words: &[Token]) {
        words.iter().for_each(|word| self.word_mut(*word).agents -= 1);
    }

    /// How many agents have a word.
    pub(super) fn agents(&self, word: Token) -> usize {
        self.words[(word & !TAINT) as usize].agents as usize
    }

    /// Every architecture that some agent has.
    pub(super) fn all_arch(&self) -> impl Iterator<Item = (&str, Token)> {
        self.all(Kind::Arch)
    }

    /// Every region.
    pub(super) fn all_regions(&self) -> impl Iterator<Item = (&str, Token)> {
        self.all(Kind::Region)
    }

    /// Every kind of device.
    pub(super) fn all_devices(&self) -> impl Iterator<Item = (&str, Token)> {
        self.all(Kind::Device)
    }

    /// Every value of a label.
    pub(super) fn all_values(&self, key: &str) -> impl Iterator<Item = (&str, Token)> {
        self.label_key(key).into_iter().flat_map(|key| self.all(Kind::Label(key)))
    }

    fn all(&self, kind: Kind) -> impl Iterator<Item = (&str, Token)> {
        let there = self.words.iter().enumerate();
        let there = there.filter(move |(_, word)| word.kind == kind && word.agents > 0);
        there.map(|(at, word)| (&*word.text, at as Token))
    }

    pub(super) fn label_key(&self, key: &str) -> Option<Token> {
        self.token(Kind::LabelKey, key)
    }

    pub(super) fn label(&self, key: &str, value: &str) -> Option<Token> {
        self.token(Kind::Label(self.label_key(key)?), value)
    }

    pub(super) fn arch(&self, word: &str) -> Option<Token> {
        self.token(Kind::Arch, word)
    }

    pub(super) fn region(&self, word: &str) -> Option<Token> {
        self.token(Kind::Region, word)
    }

    pub(super) fn runtime(&self, word: &str) -> Option<Token> {
        self.token(Kind::Runtime, word)
    }

    pub(super) fn device(&self, word: &str) -> Option<Token> {
        self.token(Kind::Device, word)
    }

    /// The most of a kind of device that any agent has, at least.
    pub(super) fn most(&self, device: Token) -> u32 {
        self.words[device as usize].most
    }

    pub(super) fn taint(&self, word: &str) -> Option<Token> {
        self.token(Kind::Taint, word)
    }

    fn word_mut(&mut self, token: Token) -> &mut Word {
        &mut self.words[(token & !TAINT) as usize]
    }

    fn token(&self, kind: Kind, text: &str) -> Option<Token> {
        let is = |at: u32| {
            let word = &self.words[at as usize];
            word.kind == kind && *word.text == *text
        };
        let at = self.lookup.find(hash_of(kind, text), is)?;
        Some(if kind == Kind::Taint { at | TAINT } else { at })
    }

    /// The token of a word, a new one for a new word.
    fn learn(&mut self, kind: Kind, text: &str) -> Token {
        if let Some(token) = self.token(kind, text) {
            return token;
        }
        let at = self.words.len() as Token;
        let words = &self.words;
        let lookup = Arc::make_mut(&mut self.lookup);
        lookup.insert(hash_of(kind, text), at, |at| words[at as usize].hash());
        self.words.push(Word { kind, text: text.into(), agents: 0, most: 0 });
        if kind == Kind::Taint { at | TAINT } else { at }
    }
}

/// All that an agent says of itself, in tokens, in order and each once; `None` where one has none.
fn spell(
    facts: &Facts,
    mut token: impl FnMut(Kind, &str) -> Option<Token>,
) -> Option<Box<[Token]>> {
    let devices = || facts.capacity.devices.iter().filter(|&(_, &count)| count > 0);
    let others = facts.runtimes.len() + facts.taints.len() + devices().count();
    let count = 2 * facts.labels.len() + 1 + usize::from(facts.region.is_some()) + others;
    let mut words = Vec::with_capacity(count);
    for (name, value) in &facts.labels {
        let key = token(Kind::LabelKey, name)?;
        words.extend([key, token(Kind::Label(key), value)?]);
    }
    words.push(token(Kind::Arch, &facts.arch)?);
    let rest = [(Kind::Runtime, &facts.runtimes[..]), (Kind::Taint, &facts.taints[..])];
    for (kind, texts) in rest {
        for text in texts {
            words.push(token(kind, text)?);
        }
    }
    if let Some(region) = &facts.region {
        words.push(token(Kind::Region, region)?);
    }
    for (device, _) in devices() {
        words.push(token(Kind::Device, device)?);
    }
    words.sort_unstable();
    words.dedup();
    Some(words.into())
}

//! Where each word is: for every token the blocks that have it, and their lanes. What the blocks
//! know, the other way round: it leads straight to a rare word, and tells where common ones meet.

use std::collections::BTreeMap;

use super::dictionary::{TAINT, Token};

/// A word that at least so many blocks have, and one in so many of all, stands in a list by block.
const MANY_MIN: usize = 64;
const MANY_ONE_IN: usize = 8;

/// The blocks of each word, taints left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists {
    by_token: Vec<List>,
}

#[derive(Debug, Clone)]
enum List {
    /// The lanes of each block that has it.
    Few(BTreeMap<u32, u64>),
    /// The lanes of every block, and how many blocks have any.
    Many { lanes: Vec<u64>, count: usize },
}

impl List {
    fn len(&self) -> usize {
        match self {
            Self::Few(blocks) => blocks.len(),
            Self::Many { count, .. } => *count,
        }
    }

    fn note(&mut self, block: u32, here: u64) {
        match self {
            Self::Few(blocks) if here == 0 => {
                blocks.remove(&block);
            }
            Self::Few(blocks) => {
                blocks.insert(block, here);
            }
            Self::Many { lanes, count } => {
                let at = block as usize;
                if lanes.len() <= at {
                    lanes.resize(at + 1, 0);
                }
                *count = *count + usize::from(here != 0) - usize::from(lanes[at] != 0);
                lanes[at] = here;
            }
        }
    }

    fn by_block(&mut self) {
        if let Self::Few(blocks) = self {
            let last = blocks.last_key_value().map_or(0, |(block, _)| *block as usize + 1);
            let (mut lanes, count) = (vec![0; last], blocks.len());
            blocks.iter().for_each(|(block, here)| lanes[*block as usize] = *here);
            *self = Self::Many { lanes, count };
        }
    }
}

impl Lists {
    /// Says which lanes of a block, one of `blocks`, have a word: none is possible.
    pub(super) fn note(&mut self, token: Token, block: u32, lanes: u64, blocks: usize) {
        if token & TAINT != 0 {
            return;
        }
        let at = token as usize;
        if self.by_token.len() <= at {
            self.by_token.resize_with(at + 1, || List::Few(BTreeMap::new()));
        }
        let list = &mut self.by_token[at];
        list.note(block, lanes);
        if list.len() >= MANY_MIN && list.len() * MANY_ONE_IN >= blocks {
            list.by_block();
        }
    }

    /// How many blocks have a word.
    pub(super) fn count(&self, token: Token) -> usize {
        self.by_token.get(token as usize).map_or(0, List::len)
    }

    /// The blocks that have a word, with their lanes.
    pub(super) fn with(&self, token: Token) -> impl Iterator<Item = (u32, u64)> {
        let (few, many) = match self.by_token.get(token as usize) {
            Some(List::Few(blocks)) => (Some(blocks), &[][..]),
            Some(List::Many { lanes, .. }) => (None, &lanes[..]),
            None => (None, &[][..]),
        };
        let few = few.into_iter().flatten().map(|(block, lanes)| (*block, *lanes));
        let many = many.iter().enumerate().filter(|(_, lanes)| **lanes != 0);
        few.chain(many.map(|(block, lanes)| (block as u32, *lanes)))
    }

    /// For each of `blocks` blocks, the lanes that have a word of each set. One pass over the lists.
    pub(super) fn meeting(&self, sets: &[Vec<Token>], blocks: usize) -> Vec<u64> {
        let mut all = vec![u64::MAX; blocks];
        let mut one = vec![0; blocks];
        for words in sets {
            one.fill(0);
            for word in words {
                match self.by_token.get(*word as usize) {
                    Some(List::Many { lanes, .. }) => {
                        one.iter_mut().zip(lanes).for_each(|(one, lanes)| *one |= lanes);
                    }
                    _ => self.with(*word).for_each(|(at, lanes)| one[at as usize] |= lanes),
                }
            }
            all.iter_mut().zip(&one).for_each(|(all, one)| *all &= one);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_and_many_know_the_same(notes in proptest::collection::vec((0..3_u32, 0..100_u32, 0..4_u64), 0..600)) {
            // Of 100 blocks a word soon is in enough; of a million it never is.
            let (mut many, mut few) = (Lists::default(), Lists::default());
            for (token, block, lanes) in notes {
                many.note(token, block, lanes, 100);
                few.note(token, block, lanes, 1_000_000);
            }
            for token in 0..4 {
                prop_assert!(many.with(token).eq(few.with(token)));
                prop_assert_eq!(many.count(token), few.count(token));
            }
            let sets = [vec![0, 1], vec![2]];
            prop_assert_eq!(many.meeting(&sets, 100), few.meeting(&sets, 100));
        }
    }
}

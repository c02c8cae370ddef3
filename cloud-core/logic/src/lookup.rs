//! Finds numbers by names in one or two steps through memory, where a sorted tree takes twenty: an
//! open-addressed table with linear probing (Knuth, "The Art of Computer Programming", volume 3,
//! algorithm L, and R for taking out). Keeps no names: whoever has them by number says whether one
//! is meant. Has no order and is never walked, so nothing can come to depend on it.
//!
//! The hash is fixed, so that every run does the same. Whoever names agents could choose names that
//! collide, which would make finding those slow and never wrong; but who may do that may also send
//! in as many agents as the core takes.

/// No number.
const VACANT: u32 = u32::MAX;

/// Numbers by the hashes of their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lookup {
    /// A power of two of them, or none; at least a quarter is vacant.
    places: Vec<Place>,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    /// The upper half of the hash: seldom is a name compared that is not meant.
    tag: u32,
    number: u32,
}

/// The hash of a name.
pub(crate) fn hash(name: &str) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = name.len() as u64 ^ FACTOR;
    let mut take = |word: u64| {
        let product = u128::from(hash ^ word) * u128::from(FACTOR);
        hash = (product as u64) ^ ((product >> 64) as u64);
    };
    let (words, rest) = name.as_bytes().as_chunks::<8>();
    words.iter().for_each(|word| take(u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    take(u64::from_le_bytes(last));
    take(FACTOR);
    hash
}

impl Lookup {
    /// The number of a name, which `is` knows among all with its hash.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.first(hash)?;
        loop {
            let place = self.places[at];
            if place.number == VACANT {
                return None;
            }
            if place.tag == tag(hash) && is(place.number) {
                return Some(place.number);
            }
            at = self.next(at);
        }
    }

    /// Adds a number that is not there.
    pub(crate) fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        if 4 * (self.count + 1) > 3 * self.places.len() {
            self.grow(hash_of);
        }
        self.count += 1;
        self.put(hash, number);
    }

    /// Takes out a number; the hashes of those behind it are asked for.
    pub(crate) fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let Some(mut vacant) = self.first(hash) else {
            return;
        };
        while self.places[vacant].number != number {
            if self.places[vacant].number == VACANT {
                return;
            }
            vacant = self.next(vacant);
        }
        self.count -= 1;
        // Those behind move up, unless that would put them before their first place.
        let mask = self.places.len() - 1;
        let mut at = vacant;
        loop {
            at = self.next(at);
            let place = self.places[at];
            if place.number == VACANT {
                break;
            }
            let first = self.first(hash_of(place.number)).unwrap_or(at);
            if (at.wrapping_sub(first) & mask) >= (at.wrapping_sub(vacant) & mask) {
                self.places[vacant] = place;
                vacant = at;
            }
        }
        self.places[vacant].number = VACANT;
    }

    /// How many numbers there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn first(&self, hash: u64) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        Some(hash as usize & mask)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    fn put(&mut self, hash: u64, number: u32) {
        let Some(mut at) = self.first(hash) else {
            return;
        };
        while self.places[at].number != VACANT {
            at = self.next(at);
        }
        self.places[at] = Place { tag: tag(hash), number };
    }

    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let vacant = Place { tag: 0, number: VACANT };
        let room = vec![vacant; (2 * self.places.len()).max(16)];
        let old = std::mem::replace(&mut self.places, room);
        for place in old.into_iter().filter(|place| place.number != VACANT) {
            self.put(hash_of(place.number), place.number);
        }
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_of_a_name_stays_what_it_is() {
        assert_ne!(hash("board-7"), hash("board-8"));
        assert_ne!(hash(""), hash("\0"));
        assert_ne!(hash("12345678"), hash("12345678\0"));
    }

    proptest! {
        /// Hashes of eight values only, so that most collide, in place and in tag.
        #[test]
        fn it_finds_what_a_map_finds(steps in proptest::collection::vec((any::<bool>(), 0..60_u32), 0..300)) {
            let hash_of = |number: u32| (u64::from(number % 8) * 3) | (u64::from(number % 2) << 40);
            let (mut lookup, mut map) = (Lookup::default(), BTreeMap::new());
            for (add, number) in steps {
                match add {
                    true if !map.contains_key(&number) => {
                        lookup.insert(hash_of(number), number, hash_of);
                        map.insert(number, ());
                    }
                    true => {}
                    false => {
                        lookup.remove(hash_of(number), number, hash_of);
                        map.remove(&number);
                    }
                }
                for number in 0..60 {
                    let found = lookup.find(hash_of(number), |one| one == number);
                    prop_assert_eq!(found.is_some(), map.contains_key(&number));
                }
                prop_assert_eq!(lookup.len(), map.len());
            }
        }
    }
}

//! A vector of which a clone is a snapshot: it costs one step for 64 elements and copies none of
//! them. Clone and original share everything until one of them changes an element; that copies this
//! element and the shelf it stands on, once. While nobody holds a clone, nothing is ever copied.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Elements on one shelf.
const SHELF: usize = 64;

/// See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Shelves<T> {
    shelves: Vec<Arc<[Arc<T>]>>,
    len: usize,
}

impl<T> Default for Shelves<T> {
    fn default() -> Self {
        Self { shelves: Vec::new(), len: 0 }
    }
}

impl<T: Clone> Shelves<T> {
    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds an element behind all others.
    pub(crate) fn push(&mut self, element: T) {
        let element = Arc::new(element);
        match self.shelves.last_mut() {
            Some(last) if last.len() < SHELF => {
                *last = last.iter().cloned().chain([element]).collect();
            }
            _ => self.shelves.push([element].into()),
        }
        self.len += 1;
    }

    /// One element.
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        Some(self.shelves.get(at / SHELF)?.get(at % SHELF)?)
    }

    /// One element, to be changed.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        let shelf = Arc::make_mut(self.shelves.get_mut(at / SHELF)?);
        Some(Arc::make_mut(shelf.get_mut(at % SHELF)?))
    }

    /// All elements.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.shelves.iter().flat_map(|shelf| shelf.iter()).map(|element| &**element)
    }
}

impl<T> Index<usize> for Shelves<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.shelves[at / SHELF][at % SHELF]
    }
}

impl<T: Clone> IndexMut<usize> for Shelves<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        let shelf = Arc::make_mut(&mut self.shelves[at / SHELF]);
        Arc::make_mut(&mut shelf[at % SHELF])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_stays_as_it_was_and_shares_what_has_not_changed() {
        let mut shelves = Shelves::default();
        (0..200).for_each(|number| shelves.push(number));
        let before = shelves.clone();
        shelves[70] = 0;
        shelves.push(200);
        *shelves.get_mut(199).expect("there") = 1;
        assert!(before.iter().copied().eq(0..200));
        assert_eq!((shelves[70], shelves[199], shelves.len()), (0, 1, 201));
        assert_eq!((shelves.get(200), shelves.get(201)), (Some(&200), None));
        assert!(Arc::ptr_eq(&before.shelves[0], &shelves.shelves[0]));
        assert!(!Arc::ptr_eq(&before.shelves[1], &shelves.shelves[1]));
        assert!(Arc::ptr_eq(&before.shelves[1][5], &shelves.shelves[1][5]));
    }
}

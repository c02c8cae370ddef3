//! A snapshot: the fleet as it was at one moment, ready to be counted. Readers hold it while the
//! core goes on; see [`Shelves`](crate::shelves::Shelves) for what that costs.

use std::ops::Deref;

use super::groups::Groups;
use super::index::Survey;
use crate::fleet::Fleet;

/// The fleet at one moment, and the columns of its index. Reads as a [`Fleet`].
#[derive(Debug, Clone)]
pub struct Snapshot {
    fleet: Fleet,
    pub(super) survey: Survey,
    groups: Groups,
}

impl Snapshot {
    /// All must be of the same moment.
    pub(super) fn new(fleet: Fleet, survey: Survey, groups: Groups) -> Self {
        Self { fleet, survey, groups }
    }

    /// Who is in which group.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }
}

impl Deref for Snapshot {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

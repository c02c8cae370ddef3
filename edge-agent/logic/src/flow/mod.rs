//! What follows from each thing that can happen, one file for each part of an attempt's life.
//! These files never name one another; `step` calls them in order.

pub(crate) mod accept;
pub(crate) mod cancel;
pub(crate) mod finish;
pub(crate) mod fire;
pub(crate) mod lease;
pub(crate) mod offline;
pub(crate) mod progress;
pub(crate) mod recover;
pub(crate) mod remember;
pub(crate) mod report;
pub(crate) mod resync;
pub(crate) mod retry;
pub(crate) mod start;

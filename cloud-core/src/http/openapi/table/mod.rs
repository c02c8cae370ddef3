//! Every operation of the API, in the order in which paths are matched: a fixed path stands before
//! one with a parameter in the same place.

mod agents;
mod common;
mod fleet;
mod machines;
mod schedules;
mod tasks;

use super::operation::Operation;

/// Every operation.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    [
        tasks::OPERATIONS,
        schedules::OPERATIONS,
        agents::OPERATIONS,
        fleet::OPERATIONS,
        machines::OPERATIONS,
    ]
    .into_iter()
    .flatten()
}

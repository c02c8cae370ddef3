//! What it takes to explain where a task is, from its stored rows. Pure, and the same for every
//! store; the documents themselves are made in the logic crate.

use cloud_core_logic::change::{AssignmentRow, TaskRow};
use cloud_core_logic::document;
use shared::api::HistoryDocument;
use shared::assignment::{AssignmentState, Ending};
use shared::id::AgentId;

use super::PlacementInput;

/// What it takes to explain where a task is. `assignments` are all its attempts, first to last.
pub(super) fn placement_input(
    row: &TaskRow,
    assignments: &[AssignmentRow],
    late_reports: Vec<HistoryDocument>,
) -> PlacementInput {
    let mut refused_by: Vec<AgentId> = Vec::new();
    for assignment in assignments {
        let refused = matches!(
            &assignment.state,
            AssignmentState::Ended { ending: Ending::Refused { .. }, .. }
        );
        if refused && !refused_by.contains(&assignment.agent) {
            refused_by.push(assignment.agent.clone());
        }
    }
    PlacementInput { task: document::task(row, assignments, late_reports), refused_by }
}

//! After a start: what became of the tasks of the time before, and what they left behind.

use std::collections::BTreeSet;

use edge_agent_logic::input::Found;
use edge_agent_logic::{Effect, Input};
use shared::id::AssignmentId;
use shared_runtime::shutdown::Shutdown;

use super::{Driver, process};
use crate::observe;

impl Driver {
    /// Removes what is left of runs that are over and are followed by others: the agent went down
    /// between deciding so and removing it.
    pub(super) async fn clear_ended_runs(&mut self) {
        let live = self.parts.agent.live();
        let waiting: Vec<_> =
            live.filter(|(_, state)| !state.is_active()).map(|(id, _)| id).collect();
        for assignment in waiting {
            self.act(Effect::Forget { assignment }).await;
        }
    }

    /// Finds out what became of the tasks of the time before the restart.
    pub(super) async fn recover(&mut self, shutdown: &Shutdown) {
        let unresolved = self.parts.agent.unresolved();
        if unresolved.is_empty() {
            return;
        }
        let mut counts = [0_usize; 4];
        let mut inputs = Vec::new();
        for assignment in unresolved {
            let found = self.parts.executor.adopt(assignment).await;
            let dir = self.parts.executor.attempt_dir(assignment);
            let found = process::found(found, &dir, self.clock.now());
            let which = match &found {
                Found::Running { .. } => {
                    self.shipper.begin(assignment, &dir);
                    0
                }
                Found::Ended(_) => 1,
                Found::NeverStarted => 2,
                Found::Gone => 3,
            };
            counts[which] += 1;
            inputs.push(Input::Found { assignment, found });
        }
        for (id, written) in self.shipper.written() {
            self.wear.supervisor(id, written, true);
        }
        let [adopted, ended, never_started, gone] = counts;
        observe::recovered(adopted, ended, never_started, gone);
        self.turn(inputs, shutdown).await;
    }

    /// Removes what is left of attempts that are over: the agent went down between writing that
    /// down and removing it.
    pub(super) async fn sweep(&mut self) {
        let live: BTreeSet<AssignmentId> = self.parts.agent.live().map(|(id, _)| id).collect();
        for assignment in self.parts.executor.list() {
            if !live.contains(&assignment) {
                self.act(Effect::Forget { assignment }).await;
            }
        }
        let over = self.parts.agent.holds().filter(|id| !live.contains(id));
        for assignment in over.collect::<Vec<_>>() {
            self.shipper.is_over(assignment);
        }
    }
}

//! Does what follows from a step.

use std::sync::Arc;

use edge_agent_logic::{Change, Effect, Input};
use shared::id::AssignmentId;
use shared::time::Monotonic;
use shared::wire::downlink::Order;

use super::{Driver, process, reports};
use crate::exec::Signal;
use crate::observe;

/// What is said of a task that was to end before there was room to start it.
const NO_ROOM: &str = "The agent's disk was full, so the task could not be started.";

impl Driver {
    pub(super) async fn act(&mut self, effect: Effect) {
        let parts = &mut self.parts;
        match effect {
            // What is lost here is said again, or was not worth more.
            Effect::Send(message) => drop(parts.line.send(&message)),
            Effect::SendReports { after, upto } => {
                let who = (parts.agent.incarnation(), parts.agent.session());
                let cut = reports::send(&parts.store, &parts.line, who, after, upto);
                self.pending.extend(cut.map(|sent| Input::ReportsCut { sent }));
            }
            Effect::Spawn { assignment, order, renewed, .. } => {
                self.spawn(assignment, &order, renewed);
            }
            Effect::Terminate { assignment } => self.stop(assignment, Signal::Term),
            Effect::Kill { assignment } => self.stop(assignment, Signal::Kill),
            Effect::Forget { assignment } => self.forget(assignment).await,
            Effect::RenewLease { sent } => {
                if let Err(error) = parts.executor.renew_leases(sent.0) {
                    observe::leases_not_renewed(&error);
                }
            }
            Effect::Note(notice) => observe::notice(&notice),
        }
    }

    fn spawn(&mut self, id: AssignmentId, order: &Arc<Order>, renewed: Option<Monotonic>) {
        let parts = &self.parts;
        let dir = parts.executor.attempt_dir(id);
        let order = parts.environment.order(id, order, &dir, renewed);
        let Err(mut error) = parts.executor.start(&order) else {
            self.starting.insert(id, order);
            return;
        };
        // New work was refused before it came to this. What was taken on waits for room.
        while parts.room.is_out() {
            let Some(what) = parts.room.give_way() else {
                observe::start_waits(id, &error.message);
                self.held_back.insert(id, order);
                return;
            };
            observe::gave_way(what);
            self.shipper.recount();
            match parts.executor.start(&order) {
                Ok(()) => {
                    self.starting.insert(id, order);
                    return;
                }
                Err(again) => error = again,
            }
        }
        self.pending.push_back(process::not_spawned(id, error.message));
    }

    /// Starts what waited for room, if there is some.
    pub(super) fn start_held_back(&mut self) {
        if self.held_back.is_empty() || self.parts.room.is_out() {
            return;
        }
        for (id, order) in std::mem::take(&mut self.held_back) {
            match self.parts.executor.start(&order) {
                Ok(()) => drop(self.starting.insert(id, order)),
                Err(error) => self.pending.push_back(process::not_spawned(id, error.message)),
            }
        }
    }

    fn stop(&mut self, id: AssignmentId, signal: Signal) {
        if self.held_back.remove(&id).is_some() {
            self.pending.push_back(process::not_spawned(id, NO_ROOM.to_owned()));
        }
        // One that is not running any more has said so, or will.
        self.parts.executor.stop(id, signal);
    }

    /// Removes what an attempt, or a run of it, left on disk. What it wrote is kept until the core
    /// has it.
    async fn forget(&mut self, id: AssignmentId) {
        let dir = self.parts.executor.attempt_dir(id);
        if !dir.path().exists() {
            return;
        }
        let again = self.parts.agent.live().any(|(other, _)| other == id);
        self.shipper.end(id, &dir, again);
        if let Err(error) = self.parts.executor.forget(id).await {
            observe::not_forgotten(&error);
        }
    }

    /// Removes the directories of attempts that are over: their outcomes are in the database now.
    pub(super) async fn put_away(&mut self, changes: &[Change]) {
        for change in changes {
            if let Change::AttemptFinished { id, .. } = change {
                self.starting.remove(id);
                self.held_back.remove(id);
                self.forget(*id).await;
            }
        }
    }
}

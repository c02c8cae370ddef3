//! The bookkeeping that several flows need: to write a report, to move an attempt, to stop it, to
//! end it. Keeps state and changes in step, so that no flow can forget one of them.

use std::cmp::Reverse;

use shared::id::AssignmentId;
use shared::report::{End, Finish, Output, Report, ReportEvent};
use shared::time::{Now, Timestamp};

use crate::agent::Agent;
use crate::attempt::{Cause, IllegalStep, State};
use crate::change::{Change, LinkSeen};
use crate::effect::{Effect, Notice, Outcome};

/// What is known of an attempt that ended, beside how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remains {
    /// When its process started, if it was seen to.
    pub started_at: Option<Timestamp>,
    /// How long it ran, in milliseconds.
    pub ran_ms: Option<u64>,
    /// The end of what it wrote.
    pub output: Output,
}

impl Outcome {
    pub(crate) fn note(&mut self, notice: Notice) {
        self.effects.push(Effect::Note(notice));
    }

    pub(crate) fn nonsense(&mut self, assignment: AssignmentId, step: Option<IllegalStep>) {
        self.note(Notice::Nonsense { assignment, step });
    }
}

impl Agent {
    /// Writes an entry of the outbox.
    pub(crate) fn report(
        &mut self,
        assignment: AssignmentId,
        event: ReportEvent,
        out: &mut Outcome,
        now: Now,
    ) -> shared::id::Sequence {
        let seq = self.outbox.push();
        let report = Box::new(Report { assignment, at: now.wall, event });
        out.changes.push(Change::ReportAdded { seq, report });
        seq
    }

    /// Moves an attempt by one of the steps of its life; `false` and a notice when it has no such
    /// step, or is not held.
    pub(crate) fn advance(
        &mut self,
        id: AssignmentId,
        step: impl FnOnce(&mut State) -> Result<(), IllegalStep>,
        out: &mut Outcome,
    ) -> bool {
        let Some(live) = self.live.get_mut(&id) else {
            out.nonsense(id, None);
            return false;
        };
        if let Err(illegal) = step(&mut live.state) {
            out.nonsense(id, Some(illegal));
            return false;
        }
        let turn = (Reverse(live.order.priority), live.number, id);
        if live.state.is_active() {
            self.waiting.remove(&turn);
        } else {
            self.waiting.insert(turn);
        }
        out.changes.push(Change::AttemptMoved { id, state: live.state });
        true
    }

    /// Brings an attempt to its end: at once when it has no process, else by asking the process
    /// first. An attempt that is being stopped already goes on being stopped.
    pub(crate) fn stop(&mut self, id: AssignmentId, cause: Cause, out: &mut Outcome, now: Now) {
        let Some(live) = self.live.get(&id) else {
            return;
        };
        let grace_ms = live.order.grace_ms;
        match live.state {
            State::Stopping { .. } => return,
            State::Accepted => self.conclude(id, cause.end(), Remains::default(), out, now),
            State::Starting { .. } | State::Running { .. } => {
                self.advance(id, |state| state.stop(cause), out);
                self.alarms.insert(id, now.mono + grace_ms);
                out.effects.push(Effect::Terminate { assignment: id });
            }
        }
        out.note(Notice::Stopping { assignment: id, cause });
    }

    /// Records the end of an attempt and reports it. Its room is free from now on.
    pub(crate) fn conclude(
        &mut self,
        id: AssignmentId,
        end: End,
        remains: Remains,
        out: &mut Outcome,
        now: Now,
    ) {
        let Some(live) = self.live.remove(&id) else {
            return;
        };
        self.waiting.remove(&(Reverse(live.order.priority), live.number, id));
        self.alarms.remove(&id);
        self.unresolved.remove(&id);
        self.reserved.subtract(&live.order.needs);
        let Remains { started_at, ran_ms, output } = remains;
        let started_at = started_at.or(live.state.started_at());
        let success = end.is_success();
        let finish = Finish { end, started_at, ran_ms, output };
        let report = self.report(id, ReportEvent::Finished(Box::new(finish)), out, now);
        self.finished.insert(id, report);
        self.finished_by_report.insert(report, id);
        out.changes.push(Change::AttemptFinished { id, report });
        out.note(Notice::Finished { assignment: id, success });
    }

    /// Writes down how it stands with the core, if that is news.
    pub(crate) fn see_link(&mut self, seen: LinkSeen, out: &mut Outcome, now: Now) {
        if self.link.seen != seen {
            self.link.seen = seen.clone();
            out.changes.push(Change::LinkMoved { seen, at: now.wall });
        }
    }
}

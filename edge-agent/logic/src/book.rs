//! The bookkeeping that several flows need: to write a report, to move an attempt, to stop it, to
//! end it. Keeps state and changes in step, so that no flow can forget one of them.

use std::cmp::Reverse;
use std::sync::Arc;

use shared::backoff::delay_ms;
use shared::id::{AssignmentId, ScheduleId};
use shared::report::{End, Finish, Report, ReportEvent};
use shared::time::{Now, Timestamp};
use shared::wire::downlink::Order;

use crate::agent::Agent;
use crate::attempt::{Cause, IllegalStep, Live, Remains, Runs, State, Undecided};
use crate::change::{AttemptRow, Change, EntryKind, LinkSeen};
use crate::clock::{JUMP_MS, Trust};
use crate::effect::{Effect, Notice, Outcome};

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
        let kind = EntryKind::of(&event);
        self.entries.push(seq, assignment, kind);
        if let (EntryKind::State, Some(live)) = (kind, self.live.get_mut(&assignment)) {
            live.told.push(seq);
        }
        let stamp = self.clock.stamp(now);
        let report = Box::new(Report { assignment, at: now.wall, stamp, event });
        out.changes.push(Change::ReportAdded { seq, report });
        seq
    }

    /// Takes an attempt on, at the core's wish or a schedule's. Whoever does reports it.
    pub(crate) fn take_on(
        &mut self,
        id: AssignmentId,
        order: &Arc<Order>,
        schedule: Option<ScheduleId>,
        out: &mut Outcome,
        now: Now,
    ) {
        self.accepted_last = self.accepted_last.saturating_add(1);
        let (number, accepted_at, state) = (self.accepted_last, now.wall, State::Accepted);
        let order = Arc::clone(order);
        self.reserved.add(&order.needs);
        self.waiting.insert((Reverse(order.priority), number, id));
        if order.lease_ms.is_some() {
            self.leased.insert(id);
            out.effects.extend(self.link.renewed.map(|sent| Effect::RenewLease { sent }));
        }
        if let Some(schedule) = schedule {
            self.residents.began(schedule, id);
        }
        let runs = Runs::default();
        let row = AttemptRow {
            id,
            number,
            accepted_at,
            order: Arc::clone(&order),
            schedule,
            state,
            runs,
            progress: None,
        };
        let (started, told) = (None, Vec::new());
        let live = Live { number, accepted_at, order, schedule, state, runs, started, told };
        self.live.insert(id, live);
        out.changes.push(Change::AttemptAdded(Box::new(row)));
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
        if let Some(Undecided { end, remains, .. }) = self.undecided.remove(&id) {
            // Its run is over already, and now none follows.
            return self.conclude(id, end, remains, out, now);
        }
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

    /// A run of an attempt is over. That is the attempt's end, unless it may be run again without
    /// asking: then nothing is decided before the core had a chance to be met.
    pub(crate) fn end_run(
        &mut self,
        id: AssignmentId,
        end: End,
        remains: Remains,
        out: &mut Outcome,
        now: Now,
    ) {
        let barred = self.link.barred.is_some();
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        let retry = live.order.retry;
        if barred || !live.runs.allow_another(&end, &retry) {
            return self.conclude(id, end, remains, out, now);
        }
        let wait_ms = match end {
            End::Vanished { .. } => self.settings.lonely_ms,
            _ => {
                let failures = live.runs.failures.saturating_add(1);
                delay_ms(failures, retry.delay_ms, retry.delay_ms_max, now.chance)
            }
        };
        live.started = None;
        self.alarms.remove(&id);
        self.unresolved.remove(&id);
        self.progress.forget(id);
        self.undecided.insert(id, Undecided { end, remains, at: now.mono + wait_ms });
    }

    /// Reports the end of a run, and lets the attempt wait for its next. What the run left on disk
    /// is removed before that is begun.
    pub(crate) fn begin_again(
        &mut self,
        id: AssignmentId,
        run: Undecided,
        out: &mut Outcome,
        now: Now,
    ) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        let seen_at = live.state.started_at();
        if let Err(illegal) = live.state.begin_again() {
            return out.nonsense(id, Some(illegal));
        }
        let runs = live.runs.with(&run.end);
        live.runs = runs;
        self.waiting.insert((Reverse(live.order.priority), live.number, id));
        let finish = Box::new(finish(run.end, run.remains, seen_at));
        self.report(id, ReportEvent::Retried(finish), out, now);
        out.changes.push(Change::AttemptBegunAgain { id, runs });
        out.effects.push(Effect::Forget { assignment: id });
        out.note(Notice::Retried { assignment: id, runs });
    }

    /// Records the end of an attempt and reports it. Its room is free from now on. What was to be
    /// told of its way and is not under way yet need not be told any more.
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
        self.leased.remove(&id);
        self.undecided.remove(&id);
        self.progress.forget(id);
        self.reserved.subtract(&live.order.needs);
        self.drop_told(&live, out);
        if let Some(schedule) = live.schedule {
            self.firing_over(schedule, id, out, now);
        }
        let success = end.is_success();
        let finish = Box::new(finish(end, remains, live.state.started_at()));
        let report = self.report(id, ReportEvent::Finished(finish), out, now);
        self.finished.insert(id, report);
        self.finished_by_report.insert(report, id);
        out.changes.push(Change::AttemptFinished { id, report });
        out.note(Notice::Finished { assignment: id, success });
    }

    /// An attempt that a schedule made is over: what waits for that has its turn, and one that
    /// counts from the end of its last run counts from now.
    fn firing_over(&mut self, schedule: ScheduleId, id: AssignmentId, out: &mut Outcome, now: Now) {
        let idle = self.residents.ended(schedule, id);
        let since = self.clock.stamp(now);
        let Some(resident) = self.residents.held.get_mut(&schedule).filter(|_| idle) else {
            return;
        };
        self.residents.look_at = Some(now.mono);
        if resident.counts_from_end() {
            let through = resident.standing.through;
            let ended = if since.trusted { through.max(now.wall) } else { through };
            resident.move_through(ended, since);
            let standing = resident.standing.clone();
            out.changes.push(Change::ScheduleMoved { schedule, standing });
        }
    }

    /// Whether the outbox can take so many more entries beside the starts and ends of all that is
    /// held.
    pub(crate) fn has_room_for(&self, entries: usize) -> bool {
        let adds = u64::try_from(entries + 2 * self.live.len()).unwrap_or(u64::MAX);
        let waiting = u64::try_from(self.entries.waiting.len()).unwrap_or(u64::MAX);
        waiting.saturating_add(adds) <= self.settings.outbox_max
    }

    fn drop_told(&mut self, live: &Live, out: &mut Outcome) {
        let sent = self.outbox.sent;
        let seqs: Vec<_> = live.told.iter().copied().filter(|seq| *seq > sent).collect();
        if !seqs.is_empty() {
            self.entries.drop_waiting(&seqs);
            out.changes.push(Change::ReportsDropped { seqs });
        }
    }

    /// Looks at the wall clock, or compares it with what the core's shows, and says so when it is
    /// believed no more, or again.
    pub(crate) fn look_at_clock(&mut self, core: Option<Timestamp>, out: &mut Outcome, now: Now) {
        match core {
            Some(core) => self.clock.hear(core, now),
            None => self.clock.look(now),
        }
        let (trust, offset_ms) = (self.clock.trust(), self.clock.offset_ms(now));
        let (told, told_ms) = self.clock_told.unwrap_or_default();
        let moved = match (offset_ms, told_ms) {
            (Some(offset_ms), Some(told_ms)) => offset_ms.abs_diff(told_ms) > JUMP_MS,
            (offset_ms, told_ms) => offset_ms.is_some() && told_ms.is_none(),
        };
        if self.clock_told.is_some() && trust == told && !moved {
            return;
        }
        self.clock_told = Some((trust, offset_ms));
        out.changes.push(Change::ClockMoved { trust, offset_ms });
        match (trust, told) {
            (Trust::Unsynced { why }, _) => out.note(Notice::ClockDistrusted { why }),
            (Trust::Trusted, Trust::Unsynced { .. }) => out.note(Notice::ClockTrusted),
            (Trust::Trusted, Trust::Trusted) => {}
        }
    }

    /// Writes down how it stands with the core, if that is news.
    pub(crate) fn see_link(&mut self, seen: LinkSeen, out: &mut Outcome, now: Now) {
        if self.link.seen != seen {
            self.link.seen = seen.clone();
            out.changes.push(Change::LinkMoved { seen, at: now.wall });
        }
    }
}

fn finish(end: End, remains: Remains, seen_at: Option<Timestamp>) -> Finish {
    let Remains { started_at, ran_ms, output } = remains;
    Finish { end, started_at: started_at.or(seen_at), ran_ms, output }
}

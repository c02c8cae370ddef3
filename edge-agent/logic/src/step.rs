//! The one match over everything that can happen, and what is looked at after each of them.

use shared::id::Revision;
use shared::time::Now;
use shared::wire::Downlink;
use shared::wire::downlink::{Desired, DesiredRow, ScheduleRow, Want};

use crate::agent::Agent;
use crate::change::Change;
use crate::effect::{Notice, Outcome};
use crate::flow::{
    accept, cancel, finish, fire, lease, offline, progress, recover, remember, report, resync,
    retry, start,
};
use crate::input::{Found, Input};
use crate::planted::planted;
use crate::resident::Resident;

impl Agent {
    /// What follows from one input. The state moves on at once; nothing of it may be told to
    /// anybody before the changes are on disk.
    pub fn step(&mut self, input: Input, now: Now) -> Outcome {
        let mut out = Outcome::default();
        self.look_at_clock(None, &mut out, now);
        match input {
            Input::Found { assignment, found } => match found {
                Found::Running { started_at, ran_ms } => {
                    recover::running(self, assignment, started_at, ran_ms, &mut out, now);
                }
                Found::Ended(end) => finish::ended(self, assignment, *end, &mut out, now),
                Found::NeverStarted => {
                    if !recover::never_started(self, assignment, &mut out, now) {
                        finish::gone(self, assignment, &mut out, now);
                    }
                }
                Found::Gone => finish::gone(self, assignment, &mut out, now),
            },
            Input::LinkUp { link } => resync::link_up(self, link, &mut out, now),
            Input::LinkDown { reason } => resync::link_down(self, reason, &mut out, now),
            Input::Downlink(message) => self.hear(message, &mut out, now),
            Input::Process { assignment, event } => {
                finish::process(self, assignment, event, &mut out, now);
            }
            Input::Progress { assignment, mark } => progress::take(self, assignment, mark, now),
            Input::ReportsCut { sent } => report::cut(self, sent, now),
            Input::Measured { load, disk_full } => {
                self.health.load = load;
                self.health.disk_full = disk_full;
            }
            Input::Moved { position } => self.facts.position = Some(position),
            Input::Stop => resync::leave(self, &mut out, now),
            Input::Tick => {}
        }
        self.look_around(&mut out, now);
        out
    }

    /// What may be due or possible now, whatever happened.
    fn look_around(&mut self, out: &mut Outcome, now: Now) {
        // What must not go on beside a later firing, or without the core, does not begin again.
        fire::tick(self, out, now);
        offline::tick(self, out, now);
        retry::tick(self, out, now);
        cancel::tick(self, out, now);
        lease::renew(self, out);
        lease::tick(self, out, now);
        start::fill(self, out, now);
        // What is over now lets the next of its schedule have its turn.
        while self.residents.is_due(now.mono) {
            fire::tick(self, out, now);
            offline::tick(self, out, now);
            start::fill(self, out, now);
        }
        report::tick(self, now);
        report::send(self, out, now);
        progress::tick(self, out, now);
        resync::tick(self, out, now);
        report::forget_kept(self, out, now);
        remember::tick(self, out, now);
    }

    fn hear(&mut self, message: Downlink, out: &mut Outcome, now: Now) {
        if !self.is_for_us(&message) {
            return;
        }
        match message {
            // Answers to a join, which is over once there is an agent to hear them.
            Downlink::Joined | Downlink::JoinRefused(_) => {}
            Downlink::Welcome(welcome) => {
                offline::heard(self, now);
                resync::welcome(self, &welcome, out, now);
                report::acknowledged(self, welcome.incarnation, welcome.acked_seq, out, now);
            }
            // Whom the core refuses it will not tell what to stop: that is no contact.
            Downlink::Refused(refusal) => resync::refused(self, refusal, out, now),
            Downlink::Desired(desired) => {
                offline::heard(self, now);
                self.apply(desired, out, now);
            }
            Downlink::Acked { incarnation, seq, .. } => {
                offline::heard(self, now);
                report::acknowledged(self, incarnation, seq, out, now);
            }
            // Logs are the driver's own business.
            Downlink::LogsAcked { .. } => offline::heard(self, now),
            Downlink::Pong { nonce, desired_rev, lease } => {
                offline::heard(self, now);
                lease::pong(self, nonce, desired_rev, lease, now);
            }
            Downlink::WhoIsThere => {
                offline::heard(self, now);
                resync::who_is_there(self, out, now);
            }
        }
    }

    /// Whether a message is meant for this process, and not for another board that speaks with a
    /// copy of the same database: what acknowledges its reports acknowledges none of ours.
    fn is_for_us(&self, message: &Downlink) -> bool {
        match message {
            Downlink::Joined | Downlink::JoinRefused(_) | Downlink::WhoIsThere => true,
            Downlink::Welcome(welcome) => {
                (welcome.incarnation, welcome.session) == (self.incarnation, self.session)
            }
            Downlink::Refused(refusal) => refusal.session.is_none_or(|it| it == self.session),
            Downlink::Desired(Desired { core, incarnation, .. })
            | Downlink::Acked { core, incarnation, .. } => {
                let ours = (self.core, self.incarnation);
                let meant = (Some(*core), *incarnation) == ours || planted!(OtherIncarnation);
                meant && self.link.is_met()
            }
            Downlink::LogsAcked { .. } | Downlink::Pong { .. } => self.link.is_met(),
        }
    }

    /// Applies a run of desired state, as far as there is room to report what comes of it.
    fn apply(&mut self, desired: Desired, out: &mut Outcome, now: Now) {
        let Desired { base, upto, rows, schedules, .. } = desired;
        if upto <= self.applied_rev {
            return;
        }
        if base > self.applied_rev && !planted!(GapApplied) {
            out.note(Notice::DesiredGap { applied: self.applied_rev, base });
            return;
        }
        let mut wishes: Vec<Wish> = rows.into_iter().map(Wish::Assignment).collect();
        wishes.extend(schedules.into_iter().map(Wish::Schedule));
        wishes.sort_by_key(Wish::rev);
        let mut applied = upto;
        for wish in wishes {
            let rev = wish.rev();
            if rev <= self.applied_rev || rev > upto {
                continue;
            }
            if !self.has_room_to_report(&wish, out) {
                // Up to here is applied; the rest comes again. All or nothing could mean nothing
                // for ever: no acknowledgement makes a long run shorter.
                applied = Revision(rev.0 - 1);
                break;
            }
            self.grant(wish, out, now);
        }
        if applied > self.applied_rev {
            self.applied_rev = applied;
            out.changes.push(Change::Applied { rev: applied });
        }
    }

    fn grant(&mut self, wish: Wish, out: &mut Outcome, now: Now) {
        match wish {
            Wish::Assignment(DesiredRow { assignment, want, .. }) => match want {
                Want::Run(order) => accept::run(self, assignment, &order, out, now),
                Want::Stop { reason } => cancel::stop(self, assignment, reason, out, now),
            },
            Wish::Schedule(ScheduleRow { schedule, hold, .. }) => match hold {
                Some(hold) => fire::hold(self, schedule, *hold, out, now),
                None => fire::withdraw(self, schedule, out, now),
            },
        }
    }

    /// Whether the outbox can take what one more row may add before it is looked at again: a row
    /// is accepted, started and finished at most, and of what is held all but the first is to come;
    /// a schedule that is taken away tells of all that waits. A further run of what is held looks
    /// for its own room.
    fn has_room_to_report(&self, wish: &Wish, out: &mut Outcome) -> bool {
        let own = match wish {
            Wish::Assignment(_) => 3,
            Wish::Schedule(row) => {
                self.residents.held.get(&row.schedule).map_or(0, Resident::waiting)
            }
        };
        let room = self.has_room_for(own);
        if !room {
            let waiting = u64::try_from(self.entries.waiting.len()).unwrap_or(u64::MAX);
            out.note(Notice::OutboxFull { waiting });
        }
        room
    }
}

/// A row of desired state.
enum Wish {
    Assignment(DesiredRow),
    Schedule(ScheduleRow),
}

impl Wish {
    fn rev(&self) -> Revision {
        match self {
            Self::Assignment(row) => row.rev,
            Self::Schedule(row) => row.rev,
        }
    }
}

//! What follows from a step: to be done by the driver after the changes are committed, in order.
//! Losing an effect in a crash loses nothing: whatever must still be done follows from the state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{AssignmentId, CoreId, Revision, ScheduleName, Sequence};
use shared::report::{NotFiredBecause, RefusalReason};
use shared::time::{Monotonic, Timestamp};
use shared::wire::Uplink;
use shared::wire::downlink::{Order, Refusal};

use crate::attempt::{Cause, IllegalStep, Runs};
use crate::change::Change;
use crate::clock::Doubt;

/// What comes of one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What is different now: to be committed in one transaction, in order.
    pub changes: Vec<Change>,
    /// What to do once that is on disk, in order.
    pub effects: Vec<Effect>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Send a message, sealed. May be lost on the way.
    Send(Uplink),
    /// Read outbox entries with `after < seq <= upto` from the store and send them in runs that
    /// fit into messages; the last run says that nothing lies behind it up to `upto`, and is sent
    /// even if there is no entry at all. If the link does not take all of them, say so with
    /// [`crate::Input::ReportsCut`]. Runs that follow on one another may be joined.
    SendReports {
        /// The entry before the first one.
        after: Sequence,
        /// The last one.
        upto: Sequence,
    },
    /// Make a process of an attempt. However often it is asked for, each of its runs runs at most
    /// once.
    Spawn {
        /// Which attempt.
        assignment: AssignmentId,
        /// Which of its runs, from 0. What the one before left behind was forgotten before.
        run: u32,
        /// What to run.
        order: Arc<Order>,
        /// For an order with a lease: the moment from which it counts now.
        renewed: Option<Monotonic>,
    },
    /// The core has answered a ping that was sent at this moment: the leases of all attempts that
    /// have one count from it. Write it where their supervisors look.
    RenewLease {
        /// When the ping was sent.
        sent: Monotonic,
    },
    /// Ask an attempt's process to end.
    Terminate {
        /// Which attempt.
        assignment: AssignmentId,
    },
    /// End an attempt's process.
    Kill {
        /// Which attempt.
        assignment: AssignmentId,
    },
    /// Remove what an attempt left on disk: its outcome is in the core's store, or the run that
    /// left it is over and another follows.
    Forget {
        /// Which attempt.
        assignment: AssignmentId,
    },
    /// Tell whoever watches this agent.
    Note(Notice),
}

/// Something that those who watch an agent may want to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// The core knows this agent and speaks with it.
    Welcomed {
        /// Which core.
        core: CoreId,
    },
    /// The core is another one than before. It counts revisions on from where this agent is.
    AnotherCore {
        /// Which it was.
        before: CoreId,
        /// Which it is.
        now: CoreId,
    },
    /// The core does not let this agent in.
    NotLetIn(Refusal),
    /// The core has said nothing for a while although the link is up.
    CoreSilent,
    /// The core remembers fewer reports than it acknowledged: it lost something. The outcomes
    /// that are kept are told again.
    CoreForgot {
        /// What it remembers.
        acked: Sequence,
        /// What it had acknowledged.
        before: Sequence,
        /// How many outcomes are told again.
        kept: usize,
    },
    /// The core acknowledged reports that this agent never wrote: another agent uses this id, or
    /// this agent's data was put back from an old copy.
    AheadOfUs {
        /// What was acknowledged.
        acked: Sequence,
        /// The last report written here.
        last: Sequence,
    },
    /// Desired state was not applied, because too many reports wait to be acknowledged.
    OutboxFull {
        /// How many wait.
        waiting: u64,
    },
    /// Desired state was not applied, because something before it is missing.
    DesiredGap {
        /// What is applied.
        applied: Revision,
        /// What it follows on.
        base: Revision,
    },
    /// A schedule is held from now on, or what is wanted of it has changed.
    ScheduleHeld {
        /// Which.
        name: ScheduleName,
        /// Its version.
        version: u32,
    },
    /// A schedule is not held, although the core wants it to be.
    ScheduleNotHeld {
        /// Which.
        name: ScheduleName,
        /// Why, for people.
        detail: String,
    },
    /// A schedule is not held any more, because the core says so.
    ScheduleWithdrawn {
        /// Which.
        name: ScheduleName,
    },
    /// A schedule made an attempt.
    ScheduleFired {
        /// Which.
        name: ScheduleName,
        /// For which moment.
        moment: Timestamp,
        /// The attempt.
        assignment: AssignmentId,
    },
    /// Moments of a schedule made no attempt.
    ScheduleNotFired {
        /// Which.
        name: ScheduleName,
        /// The first of them.
        moment: Timestamp,
        /// How many.
        count: u32,
        /// Why.
        because: NotFiredBecause,
    },
    /// An attempt was taken on.
    Accepted {
        /// Which.
        assignment: AssignmentId,
    },
    /// An attempt was not taken on.
    Refused {
        /// Which.
        assignment: AssignmentId,
        /// Why.
        reason: RefusalReason,
        /// A sentence for people.
        detail: String,
    },
    /// An attempt's process runs.
    Started {
        /// Which.
        assignment: AssignmentId,
    },
    /// An attempt's process was running when the agent came back.
    Adopted {
        /// Which.
        assignment: AssignmentId,
        /// How long it has run, in milliseconds.
        ran_ms: u64,
    },
    /// An attempt is to end before its time.
    Stopping {
        /// Which.
        assignment: AssignmentId,
        /// Why.
        cause: Cause,
    },
    /// A run of an attempt is over, and another follows because the core cannot be asked.
    Retried {
        /// Which.
        assignment: AssignmentId,
        /// Its runs so far.
        runs: Runs,
    },
    /// An attempt is over.
    Finished {
        /// Which.
        assignment: AssignmentId,
        /// Whether it did what it was meant to do.
        success: bool,
    },
    /// The wall clock is not believed any more, and nothing is decided by it.
    ClockDistrusted {
        /// Why.
        why: Doubt,
    },
    /// The wall clock is believed again.
    ClockTrusted,
    /// Something was said about an attempt that makes no sense where it stands. Ignored.
    Nonsense {
        /// About which.
        assignment: AssignmentId,
        /// What was asked of it; `None` when it is not held at all.
        step: Option<IllegalStep>,
    },
}

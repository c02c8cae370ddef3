//! What a step changes, as rows of a store. Changes carry everything a store needs: applying them
//! in order to the same start gives the same end, in any store. [`crate::memory`] says in code
//! what each means.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{AssignmentId, Boot, CoreId, Incarnation, Revision, ScheduleId, Sequence};
use shared::mailbox::Outbox;
use shared::report::{ProgressMark, Report, ReportEvent};
use shared::time::{Stamp, Timestamp};
use shared::wire::downlink::Order;

use crate::attempt::{Runs, State};
use crate::clock::Trust;
use crate::resident::{ResidentRow, Standing};

/// An attempt that is not over, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// Which.
    pub id: AssignmentId,
    /// Counts acceptances.
    pub number: u64,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// What to run.
    pub order: Arc<Order>,
    /// The schedule of this agent's own that made it, if one did.
    #[serde(default)]
    pub schedule: Option<ScheduleId>,
    /// Where it stands.
    pub state: State,
    /// How often it was run before.
    #[serde(default)]
    pub runs: Runs,
    /// How far its present run has come, as far as it was written down.
    #[serde(default)]
    pub progress: Option<ProgressRow>,
}

/// How far an attempt has come, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressRow {
    /// When it said so, by the wall clock.
    pub at: Timestamp,
    /// The other clocks at that moment.
    pub stamp: Stamp,
    /// How far.
    pub mark: ProgressMark,
}

/// What an entry of the outbox is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Where an attempt stands: of no use once its end is told, and deleted when acknowledged.
    State,
    /// A run that was followed by another. Kept when acknowledged.
    Run,
    /// What a schedule of this agent's own did: the core knows that from nowhere else. Kept when
    /// acknowledged.
    Firing,
    /// The end of an attempt, or why it was not taken on. Kept when acknowledged.
    Outcome,
}

impl EntryKind {
    /// The kind of what is told.
    #[must_use]
    pub fn of(event: &ReportEvent) -> Self {
        match event {
            ReportEvent::Accepted | ReportEvent::Started => Self::State,
            ReportEvent::Retried(_) => Self::Run,
            ReportEvent::Fired { .. } | ReportEvent::NotFired { .. } => Self::Firing,
            ReportEvent::Refused { .. } | ReportEvent::Finished(_) => Self::Outcome,
        }
    }
}

/// An entry of the outbox without what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// Its number.
    pub seq: Sequence,
    /// What it is about.
    pub assignment: AssignmentId,
    /// What it is good for.
    pub kind: EntryKind,
    /// When it was acknowledged, if it was and the clock was confirmed by the core.
    pub kept_at: Option<Timestamp>,
}

/// How it stands between this agent and its core, for people who ask the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "link", rename_all = "snake_case")]
pub enum LinkSeen {
    /// Nothing was tried yet.
    #[default]
    Never,
    /// They speak.
    Connected,
    /// The core does not let this agent in.
    Refused {
        /// Why, with a way out.
        detail: String,
    },
    /// There is no connection.
    Down {
        /// Why.
        reason: String,
    },
    /// The agent was stopped in an orderly way.
    Stopped,
}

/// One thing that is different after a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// An attempt was taken on.
    AttemptAdded(Box<AttemptRow>),
    /// An attempt moved on.
    AttemptMoved {
        /// Which.
        id: AssignmentId,
        /// Where it stands now.
        state: State,
    },
    /// A run of an attempt is over and another follows: it is accepted again, and its progress
    /// starts anew.
    AttemptBegunAgain {
        /// Which.
        id: AssignmentId,
        /// Its runs so far.
        runs: Runs,
    },
    /// How far an attempt that is not over has come.
    ProgressPut {
        /// Which.
        id: AssignmentId,
        /// How far.
        progress: ProgressRow,
    },
    /// An attempt is over. What to run is not needed any more.
    AttemptFinished {
        /// Which.
        id: AssignmentId,
        /// The outbox entry that tells its end.
        report: Sequence,
    },
    /// The end of an attempt was acknowledged: nothing of it is needed any more.
    AttemptForgotten {
        /// Which.
        id: AssignmentId,
    },
    /// The outbox has a new entry, its last.
    ReportAdded {
        /// Its number.
        seq: Sequence,
        /// What it says.
        report: Box<Report>,
    },
    /// The entries up to here are acknowledged. Those of [`EntryKind::State`] are deleted; the
    /// others are kept, and those that were not acknowledged before get this time.
    ReportsAcked {
        /// The last of them.
        upto: Sequence,
        /// The wall time, if the core has confirmed it.
        at: Option<Timestamp>,
    },
    /// These entries, none of them acknowledged, are of no use any more: they are deleted.
    ReportsDropped {
        /// Their numbers.
        seqs: Vec<Sequence>,
    },
    /// The core has lost what it acknowledged beyond this: what was kept of it is to be told
    /// again.
    ReportsUnacked {
        /// What counts as acknowledged from now on.
        acked: Sequence,
    },
    /// The kept entries up to here, all of them acknowledged, are deleted.
    KeptForgotten {
        /// The last of them.
        upto: Sequence,
    },
    /// A schedule is held, or what is wanted of it has changed.
    ScheduleHeld(Box<ResidentRow>),
    /// A schedule has come farther.
    ScheduleMoved {
        /// Which.
        schedule: ScheduleId,
        /// How far.
        standing: Standing,
    },
    /// A schedule is not held any more.
    ScheduleDropped {
        /// Which.
        schedule: ScheduleId,
        /// How far it had come: held again, it goes on behind that.
        through: Timestamp,
    },
    /// How far a schedule had come that was dropped long ago is forgotten.
    DroppedForgotten {
        /// Which.
        schedule: ScheduleId,
    },
    /// Desired state is applied up to here.
    Applied {
        /// The last revision.
        rev: Revision,
    },
    /// The core that this agent speaks with is this one.
    CoreMet {
        /// Which.
        core: CoreId,
    },
    /// It stands differently between this agent and its core.
    LinkMoved {
        /// How.
        seen: LinkSeen,
        /// Since when.
        at: Timestamp,
    },
    /// The core was last heard at this time.
    Heard {
        /// When.
        at: Timestamp,
    },
    /// The last wall time that was believed.
    Believed {
        /// What the clock showed.
        at: Timestamp,
    },
    /// It stands differently with the wall clock. For people.
    ClockMoved {
        /// How.
        trust: Trust,
        /// What is to be added to it to get the core's, in milliseconds, if that is known.
        offset_ms: Option<i64>,
    },
}

/// What a store gives back at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Made when the store was made.
    pub incarnation: Incarnation,
    /// Which start of the process this is; counted and committed before anything else is done.
    pub boot: Boot,
    /// The core that was last spoken with.
    pub core: Option<CoreId>,
    /// How far desired state is applied.
    pub applied_rev: Revision,
    /// What is numbered and what is acknowledged of the outbox.
    pub outbox: Outbox,
    /// Every attempt that is not over.
    pub live: Vec<AttemptRow>,
    /// Every attempt that is over and whose final report is not acknowledged, with the number of
    /// that report.
    pub finished: Vec<(AssignmentId, Sequence)>,
    /// Every entry of the outbox, by number: those beyond `outbox.acked` are to be told, the
    /// others are kept.
    pub entries: Vec<EntryRow>,
    /// Every schedule that is held.
    pub residents: Vec<ResidentRow>,
    /// Schedules that were held, and how far each had come.
    pub dropped: Vec<(ScheduleId, Timestamp)>,
    /// The last wall time that was believed.
    pub floor: Option<Timestamp>,
    /// How it last stood between this agent and its core. For people; nothing is decided by it.
    pub link: LinkSeen,
    /// When the core was last heard. For people; nothing is decided by it.
    pub heard_at: Option<Timestamp>,
}

impl Stored {
    /// A store that was just made.
    #[must_use]
    pub fn empty(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            boot: Boot(0),
            core: None,
            applied_rev: Revision(0),
            outbox: Outbox::default(),
            live: Vec::new(),
            finished: Vec::new(),
            entries: Vec::new(),
            residents: Vec::new(),
            dropped: Vec::new(),
            floor: None,
            link: LinkSeen::default(),
            heard_at: None,
        }
    }
}

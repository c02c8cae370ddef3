//! What a step changes, as rows of a store. Changes carry everything a store needs: applying them
//! in order to the same start gives the same end, in any store. [`crate::memory`] says in code
//! what each means.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{AssignmentId, Boot, CoreId, Incarnation, Revision, Sequence};
use shared::mailbox::Outbox;
use shared::report::Report;
use shared::time::Timestamp;
use shared::wire::downlink::Order;

use crate::attempt::State;

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
    /// Where it stands.
    pub state: State,
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
    /// The entries up to here are acknowledged: they are deleted.
    ReportsAcked {
        /// The last of them.
        upto: Sequence,
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
            link: LinkSeen::default(),
            heard_at: None,
        }
    }
}

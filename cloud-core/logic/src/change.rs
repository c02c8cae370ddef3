//! What a step changes, as rows of a store. Changes carry everything a store needs: applying them
//! in order to the same start gives the same end, in any store.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::firing::{FiringRow, Origin, ScheduleRow};
use crate::happening::Happening;
use crate::placement::Policy;
use crate::planted::planted;
use crate::schedules::ResidentRow;
use serde::{Deserialize, Serialize};
use shared::api::{HistoryDocument, Terms, Together};
use shared::assignment::{AssignmentState, Ending};
use shared::id::{
    AgentId, AssignmentId, Attempt, Boot, CoreId, Incarnation, Revision, ScheduleId, Session,
    TaskId,
};
use shared::mailbox::Inbox;
use shared::report::{End, ProgressMark, StopReason};
use shared::spec::TaskSpec;
use shared::task::TaskState;
use shared::time::Timestamp;
use shared::trace::{Trace, TraceId};
use shared::wire::uplink::Facts;

/// The key under which a submission may be repeated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// What the client sent as `Idempotency-Key`.
    pub key: String,
    /// A hash of the body it came with, in hexadecimal.
    pub body_hash: String,
}

/// What the core remembers of an agent's credential: nothing one could log in with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// SHA-256 of the agent's broker password, in hexadecimal.
    pub password_hash: String,
    /// The key that seals its messages, in hexadecimal: a one-way hash of the agent's secret.
    pub seal_key: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(not shown)")
    }
}

/// A task, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRow {
    /// Its id.
    pub id: TaskId,
    /// What was submitted.
    pub spec: Arc<TaskSpec>,
    /// The key it was submitted with.
    pub key: Option<IdempotencyKey>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it must be settled, if it has a deadline.
    pub deadline_at: Option<Timestamp>,
    /// Its trace, unless that is a sampled one of its own, which follows from its id.
    #[serde(default)]
    pub trace: Option<Box<Trace>>,
    /// What made it, if nobody submitted it.
    #[serde(default)]
    pub origin: Option<Box<Origin>>,
    /// What changes in its life.
    pub life: TaskLife,
}

impl TaskRow {
    /// Where it stands in a trace.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.trace.as_deref().cloned().unwrap_or_else(|| Trace::of_task(self.id))
    }

    /// In which trace it is.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.trace.as_ref().map_or_else(|| TraceId::of_task(self.id), |trace| trace.id)
    }
}

/// The part of a task that changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskLife {
    /// Where it stands.
    pub state: TaskState,
    /// When that last changed.
    pub updated_at: Timestamp,
    /// The number of its latest attempt; 0 before the first.
    pub attempt: Attempt,
    /// The agent of its latest attempt.
    pub agent: Option<AgentId>,
    /// Attempts that failed by themselves.
    pub failures: u32,
    /// Attempts that were lost with their agent.
    pub losses: u32,
    /// Attempts that agents refused.
    pub refusals: u32,
    /// Attempts that a core restored from a backup may have forgotten.
    #[serde(default)]
    pub forgotten: Option<Forgotten>,
}

/// Attempts that were given after a backup was taken, and that the store restored from it does not
/// know: agents may still hold them, or their outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// The last attempt that the backup knows.
    pub above: Attempt,
    /// The last number kept free for forgotten ones.
    pub upto: Attempt,
    /// Those of them that agents have told of since: they are known now, whatever became of them.
    #[serde(default)]
    pub found: BTreeSet<Attempt>,
}

impl Forgotten {
    /// Whether an attempt may be one of them.
    #[must_use]
    pub fn may_be(&self, attempt: Attempt) -> bool {
        attempt > self.above && attempt <= self.upto && !self.found.contains(&attempt)
    }
}

/// How many numbers are kept free for attempts that a backup does not know.
pub const FORGOTTEN_ATTEMPTS: u32 = 1_000;

impl TaskLife {
    /// The life of a task that was just submitted.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self {
            state: TaskState::Queued,
            updated_at: at,
            attempt: Attempt(0),
            agent: None,
            failures: 0,
            losses: 0,
            refusals: 0,
            forgotten: None,
        }
    }

    /// Counts what an attempt, or one run of it, has come to.
    pub(crate) fn count(&mut self, ending: &Ending) {
        match ending {
            Ending::Lost { .. } => self.losses += 1,
            Ending::Refused { .. } => self.refusals += 1,
            Ending::Withdrawn | Ending::Superseded { .. } => {}
            Ending::Finished(finish) => match finish.end {
                End::Vanished { .. } => self.losses += 1,
                End::Stopped { reason: StopReason::Disconnected } => self.losses += 1,
                End::Stopped { .. } => {}
                _ if finish.end.is_success() => {}
                _ => self.failures += 1,
            },
        }
    }

    /// What becomes of a task's life when its store is put back to a backup, done once to every
    /// task that is not settled, in the transaction that gives the store a new id: attempts from
    /// now on have numbers that none given after the backup can have.
    pub fn restore_from_backup(&mut self) {
        if planted!(BackupCountsOn) {
            return;
        }
        let above = self.attempt;
        let upto = Attempt(above.0.saturating_add(FORGOTTEN_ATTEMPTS));
        self.forgotten = Some(Forgotten { above, upto, found: BTreeSet::new() });
        self.attempt = upto;
    }
}

/// An assignment, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssignmentRow {
    /// Its id.
    pub id: AssignmentId,
    /// Where it was placed.
    pub agent: AgentId,
    /// Why there.
    pub placed: Placed,
    /// When it was offered.
    pub offered_at: Timestamp,
    /// When the agent had it on its disk.
    pub accepted_at: Option<Timestamp>,
    /// When its process ran.
    pub started_at: Option<Timestamp>,
    /// Where it stands.
    pub state: AssignmentState,
    /// How far it has come, as its process last said.
    #[serde(default)]
    pub progress: Option<Progressed>,
    /// How often its agent began it again by itself.
    #[serde(default)]
    pub retries: u32,
}

/// How far an attempt has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progressed {
    /// When it said so, by the core's clock.
    pub at: Timestamp,
    /// What it said.
    pub mark: ProgressMark,
}

/// A placement, as it was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// The score, 0..1.
    pub score: f64,
    /// Its terms.
    pub terms: Terms,
    /// Metres to the point to be near.
    pub distance_m: Option<f64>,
    /// The agent's smoothed round trip, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The version of the policy.
    pub policy: u64,
    /// The profile of it, if the task was placed by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How much more another agent may have scored, if the search ended with its budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
    /// That it stood back for others that were placed in the same go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Box<Together>>,
}

impl Placed {
    /// A placement that nobody remembers.
    #[must_use]
    pub fn forgotten() -> Self {
        let terms = Terms { load: 0.0, capacity: 0.0, distance: None, latency: 0.0 };
        Self {
            score: 0.0,
            terms,
            distance_m: None,
            latency_ms: None,
            policy: 0,
            profile: None,
            gap: None,
            together: None,
        }
    }
}

/// What an operator has set on an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// Takes nothing new.
    pub cordoned: bool,
    /// Takes nothing new, and what waits on it is moved away.
    pub draining: bool,
    /// Kept out after failing too often.
    pub quarantined: bool,
    /// Its credential is void, and it may not join.
    #[serde(default)]
    pub revoked: bool,
}

/// An agent, as stored. What changes with every heartbeat is not: it is measured anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// When it first joined.
    pub joined_at: Timestamp,
    /// What it is.
    pub facts: Facts,
    /// What is set on it.
    pub flags: Flags,
    /// The start of its process that last said hello.
    pub boot: Boot,
    /// Which process of that start.
    #[serde(default)]
    pub session: Session,
    /// The connection of that process that last said hello.
    pub link: u64,
    /// Whether no lease is renewed yet, because an earlier process of this name may hold one.
    #[serde(default)]
    pub withheld: bool,
    /// How far its reports have been taken, and of which incarnation.
    pub inbox: Inbox,
    /// Databases that spoke under this name before and were replaced, the latest last.
    #[serde(default)]
    pub former: Vec<Incarnation>,
    /// The last revision of its desired state.
    pub desired_rev: Revision,
    /// When it was last known to be heard; brought up to date now and then.
    pub last_seen: Option<Timestamp>,
}

/// What the core wants of an assignment on its agent: a row of the agent's desired state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// That it runs. What to run is the task's spec.
    Run,
    /// That it ends: a tombstone, kept until applied.
    Stop {
        /// Why.
        reason: StopReason,
    },
}

/// One row of an agent's desired state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedRow {
    /// When it last changed.
    pub rev: Revision,
    /// Which assignment it is about.
    pub assignment: AssignmentId,
    /// What is wanted of it.
    pub wanted: Wanted,
}

/// One thing that is different after a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A task was taken on.
    TaskAdded(Box<TaskRow>),
    /// A task moved on.
    TaskMoved {
        /// Which.
        task: TaskId,
        /// Its life now.
        life: Box<TaskLife>,
    },
    /// A task was assigned, or its assignment moved on: the row as it is now.
    AssignmentPut(Box<AssignmentRow>),
    /// An agent joined or its row changed: the row as it is now.
    AgentPut(Box<AgentRow>),
    /// An agent has a new credential. The agent itself may not have said hello yet.
    CredentialPut {
        /// Whose.
        agent: AgentId,
        /// What to remember of it.
        credential: Credential,
    },
    /// An agent's credential is void: nothing that it says counts any more.
    CredentialRemoved {
        /// Whose.
        agent: AgentId,
    },
    /// Reports of an agent have taken effect up to here.
    InboxMoved {
        /// Whose.
        agent: AgentId,
        /// Which incarnation, and how far.
        inbox: Inbox,
    },
    /// A row of an agent's desired state was written. Its revision is the agent's last.
    WantedPut {
        /// Whose.
        agent: AgentId,
        /// The row; it replaces an earlier one about the same assignment.
        row: WantedRow,
    },
    /// A row of an agent's desired state is not needed any more.
    WantedRemoved {
        /// Whose.
        agent: AgentId,
        /// About which assignment.
        assignment: AssignmentId,
    },
    /// The agents of a core restored from a backup have had their time to say what they hold.
    Recovered,
    /// Another placement policy is in force.
    PolicyPut(Box<Policy>),
    /// A schedule is there, or was changed: the row as it is now.
    SchedulePut(Box<ScheduleRow>),
    /// The moments of a schedule were dealt with up to here.
    ScheduleMoved {
        /// Which.
        schedule: ScheduleId,
        /// Up to where.
        through: Timestamp,
    },
    /// A schedule is no more. What it made stays, and so do its firings for a while.
    ScheduleRemoved {
        /// Which.
        schedule: ScheduleId,
    },
    /// What an agent is to make of a resident schedule, or what is known of its moments: the row as
    /// it is now. Its revision is the agent's last, or an earlier one.
    ResidentPut {
        /// Whose.
        agent: AgentId,
        /// The row; it replaces an earlier one about the same schedule.
        row: ResidentRow,
    },
    /// A row about a resident schedule is not needed any more.
    ResidentRemoved {
        /// Whose.
        agent: AgentId,
        /// About which schedule.
        schedule: ScheduleId,
    },
    /// What became of a moment of a schedule: it replaces what was known of it before.
    FiringPut(Box<FiringRow>),
    /// What the step has to tell to those who follow events: its last change, if there is any.
    Happened {
        /// When.
        at: Timestamp,
        /// What, in order.
        events: Vec<Happening>,
    },
    /// A stale attempt told something. It has no effect, and is kept.
    LateReport {
        /// The task.
        task: TaskId,
        /// What it told.
        entry: Box<HistoryDocument>,
    },
}

/// What a store gives back at the start: the working set. Settled tasks stay in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// The store's own id.
    pub core: CoreId,
    /// Every task that is not settled.
    pub tasks: Vec<TaskRow>,
    /// Every assignment of those tasks that is not over: the one under way, and strays.
    pub assignments: Vec<AssignmentRow>,
    /// Every agent.
    pub agents: Vec<AgentRow>,
    /// Every credential. Not part of the state: the driver's business.
    pub credentials: Vec<(AgentId, Credential)>,
    /// Every row of every agent's desired state.
    pub wanted: Vec<(AgentId, WantedRow)>,
    /// Whether the store was restored from a backup, and no [`Change::Recovered`] was committed
    /// since.
    pub recovering: bool,
    /// The placement policy that was last put in force, if one ever was.
    pub policy: Option<Policy>,
    /// Every schedule.
    pub schedules: Vec<ScheduleRow>,
    /// Every firing that waits, in the order of their moments.
    pub queued: Vec<FiringRow>,
    /// What the latest versions of each resident schedule make.
    pub versions: Vec<(ScheduleId, u32, Arc<TaskSpec>)>,
    /// Every row of desired state about resident schedules.
    pub residents: Vec<(AgentId, ResidentRow)>,
}

impl Stored {
    /// A store that was just made.
    #[must_use]
    pub fn empty(core: CoreId) -> Self {
        Self {
            core,
            tasks: Vec::new(),
            assignments: Vec::new(),
            agents: Vec::new(),
            credentials: Vec::new(),
            wanted: Vec::new(),
            recovering: false,
            policy: None,
            schedules: Vec::new(),
            queued: Vec::new(),
            versions: Vec::new(),
            residents: Vec::new(),
        }
    }
}

/// An agent before its first hello has no incarnation of its own yet.
pub const NO_INCARNATION: Incarnation = Incarnation(uuid::Uuid::nil());

//! From the core to an agent.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::capacity::Resources;
use crate::id::{
    AssignmentId, CoreId, Incarnation, Revision, ScheduleId, ScheduleName, Sequence, Session,
};
use crate::report::StopReason;
use crate::schedule::{Day, MissedRule, Overlap, Trigger, Zone};
use crate::spec::Run;
use crate::time::Timestamp;
use crate::trace::TraceContext;

/// A message from the core to an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Downlink {
    /// Answers a join: the credential holds from now on. Sealed with the join key.
    Joined,
    /// Answers a join that is not granted. Sealed with the join key.
    JoinRefused(Refusal),
    /// Answers a hello.
    Welcome(Welcome),
    /// Answers a hello that is not granted.
    Refused(Refusal),
    /// Changes of the agent's desired state.
    Desired(Desired),
    /// Outbox entries that the core has committed.
    Acked {
        /// Which core: one that was put back to a backup has forgotten what it said before.
        core: CoreId,
        /// Whose numbers these are.
        incarnation: Incarnation,
        /// Everything up to here is committed.
        seq: Sequence,
    },
    /// Pieces of a log that the core has committed.
    LogsAcked {
        /// Of which attempt.
        #[serde(flatten)]
        assignment: AssignmentId,
        /// Everything before this offset is committed.
        upto: u64,
    },
    /// Answers a ping.
    Pong {
        /// The ping's nonce.
        nonce: u64,
        /// The last revision of the agent's desired state when this was said. It renews a lease only
        /// once that is applied: it may be what takes the lease's task away.
        #[serde(default)]
        desired_rev: Revision,
        /// Whether it renews the agent's lease. Not while another board may hold one in its name.
        #[serde(default)]
        lease: bool,
    },
    /// The core does not know where this agent stands: say hello.
    WhoIsThere,
}

/// The core's side of the bargain, in answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Welcome {
    /// Which core this is.
    pub core: CoreId,
    /// Whose hello this answers.
    pub incarnation: Incarnation,
    /// Of which process.
    pub session: Session,
    /// The number of the hello that this answers; the answer to an earlier one says less.
    pub beat: u64,
    /// How long to wait before reports are sent, in milliseconds: the core gives each of many
    /// that return at once a moment of its own.
    pub reports_after_ms: u64,
    /// The last outbox entry it has committed.
    pub acked_seq: Sequence,
    /// The last revision of the agent's desired state.
    pub desired_rev: Revision,
    /// How often to send a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// The core's wall clock.
    pub sent_at: Timestamp,
}

/// Why an agent is not let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refusal {
    /// Which process is meant; another that uses the same id does not care. `None` in answer to a
    /// join.
    #[serde(default)]
    pub session: Option<Session>,
    /// The reason's stable name.
    pub reason: RefusedBecause,
    /// A sentence for the agent's log, with a way out.
    pub detail: String,
}

/// Why an agent is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefusedBecause {
    /// Another agent with this id is online.
    IdInUse,
    /// The core holds as many agents as it may.
    FleetFull,
    /// Its facts break a limit.
    InvalidFacts,
    /// Its database is an older copy of one that the core has heard from since.
    OlderDatabase,
    /// Another board speaks with a copy of the same database.
    Cloned,
    /// An operator has revoked it.
    Revoked,
}

/// Every live row of the agent's desired state with `base < rev <= upto`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Desired {
    /// Whose wishes these are: one that was put back to a backup has forgotten those of before.
    pub core: CoreId,
    /// The incarnation it is meant for: another one knows nothing of these revisions.
    pub incarnation: Incarnation,
    /// What the agent must have applied for this to follow on.
    pub base: Revision,
    /// What it has applied afterwards.
    pub upto: Revision,
    /// The rows about assignments, by revision.
    pub rows: Vec<DesiredRow>,
    /// The rows about resident schedules, by revision. Only for agents that say they hold any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleRow>,
}

/// What is wanted of a resident schedule on an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScheduleRow {
    /// When it last changed.
    pub rev: Revision,
    /// Which.
    pub schedule: ScheduleId,
    /// What is wanted of it; null is that it is not held any more, a tombstone until applied. What it
    /// has fired goes on.
    pub hold: Option<Box<ResidentSchedule>>,
}

/// All an agent needs to know to fire a schedule by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResidentSchedule {
    /// Its name, for people and for what it runs.
    pub name: ScheduleName,
    /// Which version of it this is: a firing says which one it was of.
    pub version: u32,
    /// What the core calls this content: said again by an agent that holds it.
    #[serde(default)]
    pub tag: u32,
    /// When it was made. Intervals are counted from here, unless they say from where.
    pub created_at: Timestamp,
    /// Moments up to here are no business of an agent that did not hold it before.
    pub from: Timestamp,
    /// When it fires. Never an event.
    pub trigger: Trigger,
    /// The clocks of its zone, if it has one: the agent needs no rules of its own.
    #[serde(default)]
    pub zone: Option<Zone>,
    /// It fires at no moment before this.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// It fires at this moment and later no more.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    /// Days on which it does not fire.
    #[serde(default)]
    pub exclude_days: Vec<Day>,
    /// By how much later than its moments it fires on this agent, in milliseconds.
    pub offset_ms: u64,
    /// What happens to moments that were missed.
    pub missed: MissedRule,
    /// The most of them that `all` makes up for.
    pub missed_max: u32,
    /// How late one may be made up for, in seconds.
    pub catch_up_s: u64,
    /// What happens when an earlier firing here is not over.
    pub overlap: Overlap,
    /// The most firings that wait.
    pub queue_max: u32,
    /// What each firing runs. Its trace is none: each firing has one of its own.
    pub order: Arc<Order>,
}

/// One live object of an agent's desired state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DesiredRow {
    /// When it last changed.
    pub rev: Revision,
    /// Which assignment it is about.
    #[serde(flatten)]
    pub assignment: AssignmentId,
    /// What is wanted of it.
    pub want: Want,
}

/// What is wanted of an assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// That it runs.
    Run(Arc<Order>),
    /// That it ends; a tombstone, kept until applied. The agent reports the end, if it had it.
    Stop {
        /// Why.
        reason: StopReason,
    },
}

/// All an agent needs to know to run an assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Order {
    /// The task's name, for people.
    pub name: Option<String>,
    /// What to run.
    pub run: Run,
    /// What it reserves.
    pub needs: Resources,
    /// Higher starts first.
    pub priority: u8,
    /// The longest it may run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How long it has between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    /// How long it may go on without the core being heard, in milliseconds.
    pub stop_after_ms: Option<u64>,
    /// How long after the last answered ping was sent it must be over, in milliseconds; `None`
    /// for tasks that are not exclusive.
    #[serde(default)]
    pub lease_ms: Option<u64>,
    /// How often the agent may begin it again by itself while it cannot ask the core.
    #[serde(default)]
    pub retry: LocalRetry,
    /// What fired it, if a schedule did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<FiringContext>,
    /// The trace that what it does belongs to, under the span of this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// What a task is told of the schedule that made it, in its environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FiringContext {
    /// The schedule's name: `AMBIT_SCHEDULE`.
    pub schedule: ScheduleName,
    /// The moment that it fired for: `AMBIT_SCHEDULED_AT`.
    pub at: Timestamp,
    /// What came with the event that fired it: a file that `AMBIT_EVENT` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Arc<str>>,
}

/// What an agent that cannot reach its core does about runs that failed or vanished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct LocalRetry {
    /// How many more failed runs may be followed by another.
    pub failures_max: u32,
    /// How many more runs that vanished in a power cut may be followed by another.
    pub losses_max: u32,
    /// The first wait after a failed run, in milliseconds; it doubles.
    pub delay_ms: u64,
    /// The longest such wait, in milliseconds.
    pub delay_ms_max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Attempt, TaskId};
    use crate::spec::Exec;
    use crate::wire::{decode, encode};
    use proptest::prelude::*;
    use uuid::Uuid;

    fn desired(command: String, args: Vec<String>, rev: u64) -> Downlink {
        let assignment = AssignmentId { task: TaskId(Uuid::from_u128(2)), attempt: Attempt(1) };
        let order = Order {
            name: None,
            run: Run::Exec(Exec { command, args, ..Exec::default() }),
            needs: Resources::default(),
            priority: 50,
            timeout_ms: Some(1),
            grace_ms: 2,
            stop_after_ms: None,
            lease_ms: Some(3),
            retry: LocalRetry { failures_max: 1, ..LocalRetry::default() },
            firing: None,
            trace: rev.is_multiple_of(2).then(|| TraceContext {
                traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
                tracestate: rev.is_multiple_of(4).then(|| "a=1".to_owned()),
            }),
        };
        let stop = Want::Stop { reason: StopReason::Canceled };
        Downlink::Desired(Desired {
            core: CoreId(Uuid::from_u128(9)),
            incarnation: Incarnation(Uuid::from_u128(1)),
            base: Revision(0),
            upto: Revision(rev),
            schedules: Vec::new(),
            rows: vec![
                DesiredRow { rev: Revision(rev), assignment, want: Want::Run(Arc::new(order)) },
                DesiredRow { rev: Revision(rev), assignment, want: stop },
            ],
        })
    }

    proptest! {
        #[test]
        fn desired_state_survives_the_wire(
            command in ".{0,50}", args in prop::collection::vec(".{0,50}", 0..5), rev: u64
        ) {
            let message = desired(command, args, rev);
            let bytes = encode(&message).expect("encode");
            prop_assert_eq!(decode::<Downlink>(&bytes).expect("decode"), message);
        }
    }

    #[test]
    fn messages_without_fields_survive_the_wire() {
        for message in [
            Downlink::Joined,
            Downlink::WhoIsThere,
            Downlink::Pong { nonce: 1, desired_rev: Revision(2), lease: true },
        ] {
            let bytes = encode(&message).expect("encode");
            assert_eq!(decode::<Downlink>(&bytes).expect("decode"), message);
        }
    }
}

//! From an agent to the core.

use serde::{Deserialize, Serialize};

use crate::capacity::Resources;
use crate::geo::Position;
use crate::id::{AssignmentId, Boot, CoreId, Incarnation, Revision, ScheduleId, Sequence, Session};
use crate::label::Labels;
use crate::report::{ProgressMark, Report};
use crate::time::{Stamp, Timestamp};

/// A message from an agent to the core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Uplink {
    /// Asks for a credential. Sealed with the join key, everything else with the agent's own.
    Join(Join),
    /// The first message on every connection: who is there, and where both sides stand.
    Hello(Box<Hello>),
    /// Alive, and how it goes. Losing one costs nothing.
    Heartbeat(Heartbeat),
    /// The parts of a long inventory that follow the one in the hello.
    Inventory(Inventory),
    /// A run of outbox entries.
    Reports(Reports),
    /// How far running attempts have come. The newest word is all that counts; losing one costs
    /// nothing.
    Progress(ProgressNews),
    /// A piece of what an attempt wrote.
    Logs(LogChunk),
    /// Asks for a pong: to measure the round trip, and to renew the lease of exclusive tasks.
    Ping {
        /// Comes back in the pong.
        nonce: u64,
        /// Which start of the process asks.
        session: Session,
    },
    /// The connection is gone. As a last will it is published by the broker, else by an agent
    /// that stops in an orderly way.
    Gone(Gone),
}

/// Asks for a credential with the join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Join {
    /// 64 hexadecimal digits, fresh for every join: what the credential is derived from.
    pub nonce: String,
    /// The incarnation of the database that the credential is for.
    pub incarnation: Incarnation,
}

/// What an agent is: facts that its owner gave it or that it found, which change rarely.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Facts {
    /// The agent's program version.
    pub version: String,
    /// Where it is, if it knows.
    pub position: Option<Position>,
    /// The region it belongs to.
    pub region: Option<String>,
    /// Its labels.
    pub labels: Labels,
    /// Taints: it takes only tasks that tolerate each of them.
    pub taints: Vec<String>,
    /// Its processor architecture, as Rust names it: `aarch64`, `x86_64`, `arm`.
    pub arch: String,
    /// What it has.
    pub capacity: Resources,
    /// The most assignments it holds at once.
    pub tasks_max: u32,
    /// The kinds of `run` it knows.
    pub runtimes: Vec<String>,
    /// The most resident schedules that it holds at once; 0 is what knows of none.
    pub schedules_max: u32,
}

/// The first message on every connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// Which database speaks.
    pub incarnation: Incarnation,
    /// Which start of the process speaks.
    pub boot: Boot,
    /// Which process of that start: two that differ in it speak with copies of one database.
    pub session: Session,
    /// Which connection of that process this is, counted from 1; a will of an earlier one is stale.
    pub link: u64,
    /// Counts up within one boot, together with the heartbeats: one that was under way for long is
    /// recognized by it.
    pub beat: u64,
    /// What the agent is.
    pub facts: Facts,
    /// The core it last spoke with.
    pub core: Option<CoreId>,
    /// The desired state it has applied.
    pub applied_rev: Revision,
    /// The last outbox entry it has written.
    pub last_seq: Sequence,
    /// The last outbox entry it knows to be acknowledged.
    pub acked_seq: Sequence,
    /// Every assignment it holds that is not over, or the first of them. What is over is told by
    /// the outbox.
    pub inventory: InventoryPart,
    /// Its load at this moment.
    pub load: Load,
    /// Its wall clock when it sent this.
    pub sent_at: Timestamp,
    /// Its other clocks at that moment.
    pub stamp: Stamp,
}

/// A part of the list of what an agent holds: together they are all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InventoryPart {
    /// Which part this is, from 0.
    pub part: u32,
    /// How many there are, at least 1.
    pub parts: u32,
    /// What is held.
    pub holds: Vec<Held>,
    /// Which resident schedules are held; `None` from an agent that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedules: Option<Vec<HeldSchedule>>,
}

/// A resident schedule that an agent holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeldSchedule {
    /// Which.
    pub schedule: ScheduleId,
    /// The tag that came with it.
    pub tag: u32,
}

/// An assignment that an agent holds and that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Held {
    /// Which.
    #[serde(flatten)]
    pub assignment: AssignmentId,
    /// How long it has run, in milliseconds; `None` while it has no process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_ms: Option<u64>,
}

/// A further part of the inventory that a hello began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Inventory {
    /// Which database speaks.
    pub incarnation: Incarnation,
    /// Which process.
    pub session: Session,
    /// The connection whose hello it belongs to.
    pub link: u64,
    /// The `last_seq` of that hello: what is held changes only with a new entry of the outbox, so
    /// parts of one number are parts of one list.
    pub last_seq: Sequence,
    /// The part.
    #[serde(flatten)]
    pub part: InventoryPart,
}

/// How far running attempts have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressNews {
    /// Whose.
    pub incarnation: Incarnation,
    /// Which process.
    pub session: Session,
    /// One word for each attempt that has something to tell.
    pub items: Vec<AttemptProgress>,
}

/// How far one attempt has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AttemptProgress {
    /// Which.
    #[serde(flatten)]
    pub assignment: AssignmentId,
    /// When it said so, by the agent's wall clock.
    pub at: Timestamp,
    /// The agent's other clocks at that moment.
    #[serde(default)]
    pub stamp: Stamp,
    /// How far.
    #[serde(flatten)]
    pub mark: ProgressMark,
}

/// A piece of what an attempt wrote. Taken as often as it comes: the offsets tell what is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogChunk {
    /// Which attempt.
    #[serde(flatten)]
    pub assignment: AssignmentId,
    /// The pieces, in order; each begins where the one before it ends.
    pub pieces: Vec<LogPiece>,
    /// Whether nothing more will come.
    pub last: bool,
}

/// One piece of a log. Offsets and lengths count the bytes that the attempt wrote to both streams
/// together, whatever the text made of them needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "piece", rename_all = "snake_case")]
pub enum LogPiece {
    /// What was written.
    Text {
        /// Where it begins.
        offset: u64,
        /// How many bytes were written.
        bytes: u64,
        /// When, by the agent's wall clock.
        at: Timestamp,
        /// To which stream.
        stream: LogStream,
        /// What, with whatever is not UTF-8 replaced.
        text: String,
    },
    /// Something that was written and not kept.
    Gap {
        /// Where it begins.
        offset: u64,
        /// How many bytes are missing.
        bytes: u64,
    },
}

impl LogPiece {
    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        let (Self::Text { offset, bytes, .. } | Self::Gap { offset, bytes }) = self;
        offset.saturating_add(*bytes)
    }
}

/// Which of a process's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What an agent measures of itself. Every value is 0..1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Load {
    /// The share of processor time in use.
    pub cpu: f64,
    /// The share of memory in use.
    pub memory: f64,
    /// The share of its data disk in use.
    pub disk: f64,
}

/// Alive, and how it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Heartbeat {
    /// Which database speaks.
    pub incarnation: Incarnation,
    /// Which start of the process speaks.
    pub boot: Boot,
    /// Which process of that start.
    pub session: Session,
    /// Which connection of that process this is.
    pub link: u64,
    /// Counts up within one boot, together with the hellos; a repeated or reordered one is recognized by it.
    pub beat: u64,
    /// The core it takes this to go to. One that was put back to a backup may know the agent from a
    /// late hello that was meant for the core before it.
    pub core: Option<CoreId>,
    /// The number of its last hello. A core that was started again may know it from an earlier one.
    pub hello: u64,
    /// What it measures.
    pub load: Load,
    /// The last round trip to the core it measured, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Where it is, when that has changed since the hello.
    pub position: Option<Position>,
    /// The desired state it has applied.
    pub applied_rev: Revision,
    /// The last outbox entry it knows to be acknowledged.
    pub acked_seq: Sequence,
    /// How many assignments it holds that are not over.
    pub held: u32,
    /// Its wall clock when it sent this.
    pub sent_at: Timestamp,
    /// Its other clocks at that moment.
    pub stamp: Stamp,
}

/// A run of outbox entries: nothing of this outbox lies between `after` and the first of them, or
/// between any two of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reports {
    /// Whose numbers these are.
    pub incarnation: Incarnation,
    /// Which process sends them: two copies of one database give the same numbers to different
    /// things.
    pub session: Session,
    /// The entry before the first one here.
    pub after: Sequence,
    /// The entries, in order.
    pub items: Vec<NumberedReport>,
    /// Nothing of this outbox lies between the last of them and this number either: there may be
    /// none at all up to here, if what had these numbers is not worth telling any more.
    #[serde(default)]
    pub upto: Sequence,
}

/// An outbox entry with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NumberedReport {
    /// Its number.
    pub seq: Sequence,
    /// What it says.
    #[serde(flatten)]
    pub report: Report,
}

/// A connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Gone {
    /// Whose connection it was.
    pub incarnation: Incarnation,
    /// Of which start of the process.
    pub boot: Boot,
    /// Of which process of that start.
    pub session: Session,
    /// Which connection of that process.
    pub link: u64,
    /// Whether the agent stops in an orderly way (true) or the broker tells of a break (false).
    pub orderly: bool,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::{End, Finish, Output, ReportEvent};
    use crate::wire::{decode, encode};
    use uuid::Uuid;

    const INCARNATION: Incarnation = Incarnation(Uuid::from_u128(1));
    const SESSION: Session = Session(7);
    const ASSIGNMENT: AssignmentId = AssignmentId {
        task: crate::id::TaskId(Uuid::from_u128(2)),
        attempt: crate::id::Attempt(1),
    };

    fn inventory(part: u32) -> InventoryPart {
        let holds = vec![Held { assignment: ASSIGNMENT, running_ms: Some(4) }];
        let schedule = HeldSchedule { schedule: ScheduleId(Uuid::from_u128(3)), tag: 6 };
        InventoryPart { part, parts: 2, holds, schedules: Some(vec![schedule]) }
    }

    fn hello() -> Uplink {
        Uplink::Hello(Box::new(Hello {
            incarnation: INCARNATION,
            boot: Boot(3),
            session: SESSION,
            link: 2,
            beat: 5,
            facts: Facts { arch: "aarch64".to_owned(), ..Facts::default() },
            core: None,
            applied_rev: Revision(4),
            last_seq: Sequence(9),
            acked_seq: Sequence(8),
            inventory: inventory(0),
            load: Load { cpu: 0.25, memory: 0.5, disk: 0.1 },
            sent_at: Timestamp(10),
            stamp: Stamp { board: 1, mono_ms: 2, trusted: true },
        }))
    }

    fn reports() -> Uplink {
        let finish = Finish {
            end: End::Signaled { signal: 9 },
            started_at: Some(Timestamp(5)),
            ran_ms: Some(7),
            output: Output { stdout_tail: "\u{0}\"ü".to_owned(), ..Output::default() },
        };
        let (assignment, at, stamp) = (ASSIGNMENT, Timestamp(9), Stamp::default());
        let report = |event| Report { assignment, at, stamp, event };
        let finished = report(ReportEvent::Finished(Box::new(finish)));
        Uplink::Reports(Reports {
            incarnation: INCARNATION,
            session: SESSION,
            after: Sequence(0),
            upto: Sequence(4),
            items: vec![
                NumberedReport { seq: Sequence(1), report: report(ReportEvent::Accepted) },
                NumberedReport { seq: Sequence(2), report: finished },
            ],
        })
    }

    fn logs() -> Uplink {
        let (at, stream) = (Timestamp(4), LogStream::Stderr);
        let text = LogPiece::Text { offset: 7, bytes: 2, at, stream, text: "ü".to_owned() };
        let pieces = vec![LogPiece::Gap { offset: 0, bytes: 7 }, text];
        Uplink::Logs(LogChunk { assignment: ASSIGNMENT, pieces, last: true })
    }

    pub fn samples() -> Vec<Uplink> {
        let (incarnation, session) = (INCARNATION, SESSION);
        let mark = ProgressMark { thousandths: Some(420), text: "half".to_owned() };
        let (assignment, at, stamp) = (ASSIGNMENT, Timestamp(3), Stamp::default());
        let items = vec![AttemptProgress { assignment, at, stamp, mark }];
        let (link, last_seq) = (2, Sequence(9));
        let part = inventory(1);
        vec![
            Uplink::Join(Join { nonce: "00".repeat(32), incarnation }),
            hello(),
            Uplink::Inventory(Inventory { incarnation, session, link, last_seq, part }),
            Uplink::Progress(ProgressNews { incarnation, session, items }),
            logs(),
            reports(),
            Uplink::Ping { nonce: 77, session },
            Uplink::Gone(Gone { incarnation, boot: Boot(3), session, link: 2, orderly: false }),
        ]
    }

    #[test]
    fn every_message_survives_the_wire() {
        for message in samples() {
            let bytes = encode(&message).expect("encode");
            assert_eq!(decode::<Uplink>(&bytes).expect("decode"), message);
        }
    }

    #[test]
    fn a_field_from_the_future_is_ignored() {
        let text = br#"{"v":1,"type":"ping","nonce":5,"session":2,"colour":"blue"}"#;
        assert_eq!(decode::<Uplink>(text), Ok(Uplink::Ping { nonce: 5, session: Session(2) }));
    }
}

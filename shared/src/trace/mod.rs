//! Traces: to which one a task belongs, and which spans it is made of, by the W3C Recommendation
//! "Trace Context" (<https://www.w3.org/TR/trace-context-1/>). Nothing here is drawn by chance: a
//! task that came without a trace has one that follows from its id, and its spans follow from the
//! task and the attempt, so that core, agent and exporter tell the same ones, restarts included.

mod context;
mod state;

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{Attempt, TaskId};
use crate::time::mix;

pub use context::TraceContext;
pub use state::{TRACESTATE_BYTES_MAX, TraceState};

/// A trace: 32 lower-case hexadecimal digits, never all 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(NonZeroU128);

/// A span of a trace: 16 lower-case hexadecimal digits, never all 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(NonZeroU64);

/// A text that is no id of a trace or a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id of {digits} lower-case hexadecimal digits, not all of them 0, was expected")]
pub struct NoSuchId {
    digits: usize,
}

/// The spans of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// From its submission to its outcome.
    Task,
    /// The wait before an attempt.
    Wait(Attempt),
    /// An attempt, from the offer to its end: the parent of what its process does.
    Attempt(Attempt),
    /// From the offer of an attempt to its acceptance.
    Accept(Attempt),
    /// The run of an attempt's process.
    Run(Attempt),
}

/// Lower-case digits only: the Recommendation has no others.
fn digits<const N: usize>(text: &[u8]) -> Option<&str> {
    let lower = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let whole = text.len() == N && text.iter().all(lower);
    whole.then(|| std::str::from_utf8(text).ok()).flatten()
}

impl TraceId {
    /// The trace of a task that came without one: the 128 bits of the task's id, so that whoever
    /// has the one has the other. All but the time and the count in it are random.
    #[must_use]
    pub fn of_task(task: TaskId) -> Self {
        Self(NonZeroU128::new(task.0.as_u128()).unwrap_or(NonZeroU128::MIN))
    }

    /// Whether it is one of the traces that are sampled when one in `n` is; none when `n` is 0. By
    /// the last 56 bits, which are random in ids made by this program and by others.
    #[must_use]
    pub fn is_one_in(self, n: u64) -> bool {
        const RANDOM: u128 = (1 << 56) - 1;
        n > 0 && (self.0.get() & RANDOM).is_multiple_of(u128::from(n))
    }

    fn read(text: &[u8]) -> Option<Self> {
        let number = u128::from_str_radix(digits::<32>(text)?, 16).ok()?;
        NonZeroU128::new(number).map(Self)
    }
}

impl SpanId {
    /// The id of a task's span.
    #[must_use]
    pub fn of(task: TaskId, span: Span) -> Self {
        let (kind, attempt) = match span {
            Span::Task => (0, Attempt(0)),
            Span::Wait(attempt) => (1, attempt),
            Span::Attempt(attempt) => (2, attempt),
            Span::Accept(attempt) => (3, attempt),
            Span::Run(attempt) => (4, attempt),
        };
        let (high, low) = task.0.as_u64_pair();
        let word = mix(mix(mix(0, high), low), kind << 32 | u64::from(attempt.0));
        Self(NonZeroU64::new(word).unwrap_or(NonZeroU64::MIN))
    }

    fn read(text: &[u8]) -> Option<Self> {
        let number = u64::from_str_radix(digits::<16>(text)?, 16).ok()?;
        NonZeroU64::new(number).map(Self)
    }
}

/// Where a task stands in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Which trace.
    pub id: TraceId,
    /// The span of whoever submitted the task, if it came with a trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SpanId>,
    /// Whether whoever began the trace wants it to be recorded.
    pub sampled: bool,
    /// What others in the trace left for one another.
    #[serde(default, skip_serializing_if = "TraceState::is_empty")]
    pub state: TraceState,
}

impl Trace {
    /// The trace of a task that came without one.
    #[must_use]
    pub fn of_task(task: TaskId) -> Self {
        Self {
            id: TraceId::of_task(task),
            parent: None,
            sampled: true,
            state: TraceState::default(),
        }
    }

    /// What is handed to whoever works on behalf of a span.
    #[must_use]
    pub fn context(&self, span: SpanId) -> TraceContext {
        TraceContext::new(self, span)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for TraceId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text.as_bytes()).ok_or(NoSuchId { digits: 32 })
    }
}

impl FromStr for SpanId {
    type Err = NoSuchId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text.as_bytes()).ok_or(NoSuchId { digits: 16 })
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(TraceId);
as_text!(SpanId);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use uuid::Uuid;

    use super::*;

    fn task(number: u128) -> TaskId {
        TaskId(Uuid::from_u128(number))
    }

    #[test]
    fn ids_are_read_as_they_are_written_and_no_other_way() {
        let trace: TraceId = "0af7651916cd43dd8448eb211c80319c".parse().expect("an id");
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        let span: SpanId = "00f067aa0ba902b7".parse().expect("an id");
        assert_eq!(serde_json::to_string(&span).expect("text"), "\"00f067aa0ba902b7\"");
        for text in ["", "0", "0000000000000000", "00F067AA0BA902B7", "+0f067aa0ba902b7"] {
            assert!(text.parse::<SpanId>().is_err(), "{text}");
        }
        assert!("00000000000000000000000000000000".parse::<TraceId>().is_err());
        assert!(serde_json::from_str::<TraceId>("\"x\"").is_err());
    }

    #[test]
    fn spans_of_tasks_differ_and_stay_the_same() {
        let id = task(0x0193_6f2e_8a3c_7d4e_9b1a_2c3d_4e5f_6a7b);
        // Written down: a core that were updated must tell the same ones.
        assert_eq!(SpanId::of(id, Span::Task).to_string(), "b73eba80c5a2d55d");
        assert_eq!(SpanId::of(id, Span::Attempt(Attempt(2))).to_string(), "fab492e7ed94d7a1");
        let mut seen = HashSet::new();
        for number in 0..2_000 {
            for attempt in (1..4).map(Attempt) {
                for span in [
                    Span::Wait(attempt),
                    Span::Attempt(attempt),
                    Span::Accept(attempt),
                    Span::Run(attempt),
                ] {
                    assert!(seen.insert(SpanId::of(task(number), span)));
                }
            }
            assert!(seen.insert(SpanId::of(task(number), Span::Task)));
        }
    }

    #[test]
    fn a_task_without_a_trace_has_its_own_and_it_is_sampled() {
        let id = task(0x0193_6f2e_8a3c_7d4e_9b1a_2c3d_4e5f_6a7b);
        let trace = Trace::of_task(id);
        assert_eq!(trace.id.to_string(), "01936f2e8a3c7d4e9b1a2c3d4e5f6a7b");
        assert!(trace.sampled && trace.parent.is_none());
        assert_eq!(TraceId::of_task(task(0)).to_string(), "00000000000000000000000000000001");
    }

    #[test]
    fn one_in_so_many_is_about_so_many() {
        let ids = || (0..10_000_u64).map(|n| TraceId::of_task(task(u128::from(mix(7, n)))));
        let sampled = |n| ids().filter(|id| id.is_one_in(n)).count();
        assert_eq!((sampled(1), sampled(0)), (10_000, 0));
        assert!((800..1_200).contains(&sampled(10)), "{}", sampled(10));
    }
}

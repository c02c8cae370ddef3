//! Identifiers and counters. Each is a type of its own, so that an attempt number can never be
//! passed where a sequence number is meant, and each is checked where it enters the program.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::{Timestamp, mix};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty or longer than allowed.
    #[error("{what} must be 1 to {max} characters long, this one has {length}")]
    Length {
        /// What the text was meant to be.
        what: &'static str,
        /// The most characters allowed.
        max: usize,
        /// The characters it has.
        length: usize,
    },
    /// The text holds a character that is not allowed. `+`, `#` and `/` have meaning in MQTT
    /// topics and have broken access lists before (CVE-2017-7650).
    #[error(
        "{what} may hold only letters, digits, `.`, `_` and `-`, and must start with a letter or a digit; `{character}` is not allowed"
    )]
    Character {
        /// What the text was meant to be.
        what: &'static str,
        /// The first offending character.
        character: char,
    },
    /// The text is not a UUID.
    #[error("{what} must be a UUID such as 01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b")]
    Uuid {
        /// What the text was meant to be.
        what: &'static str,
    },
}

/// The longest agent id, in characters.
pub const AGENT_ID_LENGTH_MAX: usize = 64;
/// The longest name of a schedule, in characters.
pub const SCHEDULE_NAME_LENGTH_MAX: usize = 128;

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                check_name(text, $what, $max)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_id!(
    /// Names one agent: 1 to 64 characters of `A-Z a-z 0-9 . _ -`, the first a letter or digit.
    AgentId,
    "an agent id",
    AGENT_ID_LENGTH_MAX
);
name_id!(
    /// Names one schedule among all that there are now: 1 to 128 characters of
    /// `A-Z a-z 0-9 . _ -`, the first a letter or digit.
    ScheduleName,
    "the name of a schedule",
    SCHEDULE_NAME_LENGTH_MAX
);

/// Checks that a text is 1 to `max` of the characters that a name may have.
fn check_name(text: &str, what: &'static str, max: usize) -> Result<(), IdError> {
    if text.is_empty() || text.len() > max {
        return Err(IdError::Length { what, max, length: text.chars().count() });
    }
    let allowed = |index: usize, c: char| {
        c.is_ascii_alphanumeric() || (index > 0 && matches!(c, '.' | '_' | '-'))
    };
    match text.chars().enumerate().find(|&(index, c)| !allowed(index, c)) {
        Some((_, character)) => Err(IdError::Character { what, character }),
        None => Ok(()),
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                // Only the hyphenated form: one id, one spelling.
                match Uuid::try_parse(text) {
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err(IdError::Uuid { what: $what }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    };
}

uuid_id!(
    /// Names one task: a UUIDv7, so ids sort by the time of submission.
    TaskId,
    "a task id"
);
uuid_id!(
    /// Names one schedule for good: another that takes its name later has another.
    ScheduleId,
    "a schedule id"
);
uuid_id!(
    /// Made when an agent's database is made. A new one under the same agent id means that
    /// everything the agent held is gone.
    Incarnation,
    "an incarnation"
);
uuid_id!(
    /// Made when the core's store is made. Tells an agent that it speaks with the core it knew.
    CoreId,
    "a core id"
);

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this. Stays at the maximum instead of wrapping: a fence that wraps
            /// is no fence.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// Counts the attempts of one task from 1, and fences every late message.
    Attempt,
    u32
);
counter!(
    /// Counts the starts of an agent's process; written before it is first used.
    Boot,
    u64
);
counter!(
    /// Numbers the changes of one agent's desired state (down), from 1; 0 is "nothing yet".
    Revision,
    u64
);
counter!(
    /// Numbers the entries of one agent's outbox (up), from 1; 0 is "nothing yet".
    Sequence,
    u64
);

counter!(
    /// Drawn at random by each start of an agent's process and never stored: tells two boards
    /// apart that speak with copies of one database.
    Session,
    u32
);

/// Names one assignment: the attempt of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AssignmentId {
    /// The task.
    pub task: TaskId,
    /// Its attempt.
    pub attempt: Attempt,
}

impl fmt::Display for AssignmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task, self.attempt)
    }
}

impl FromStr for AssignmentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = IdError::Uuid { what: "an assignment id (task id, dot, attempt)" };
        let (task, attempt) = text.rsplit_once('.').ok_or_else(|| wrong.clone())?;
        let attempt = attempt.parse().map_err(|_| wrong)?;
        Ok(Self { task: task.parse()?, attempt: Attempt(attempt) })
    }
}

impl TaskId {
    /// The id of the task that an agent's database makes of a moment of a resident schedule: agent and
    /// core know it without asking each other. A UUIDv7 like any other: its time is the moment's, up to
    /// a second later, so that the firings of a fleet at one moment are told apart by their fronts.
    #[must_use]
    pub fn of_firing(schedule: ScheduleId, moment: Timestamp, by: Incarnation) -> Self {
        let ((front, back), (one, other)) = (schedule.0.as_u64_pair(), by.0.as_u64_pair());
        let word = mix(mix(front, back), mix(one, other)) ^ moment.0.cast_unsigned();
        let (early, late) = (mix(word, 1), mix(word, 2));
        let millis = u64::try_from(moment.0).unwrap_or(0) + early % 1_000;
        let count = early >> 32 & 0x0fff;
        Self(Uuid::from_u64_pair(millis << 16 | 0x7000 | count, late >> 2 | 1 << 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_id_never_holds_what_a_topic_gives_meaning_to() {
        for text in ["a/b", "a+", "#", "$SYS", "", "-a", ".", "a b", "ä", &"a".repeat(65)] {
            assert!(text.parse::<AgentId>().is_err(), "{text:?} was accepted");
        }
        for text in ["board-7", "A", "0", "tram.12_b", &"a".repeat(64)] {
            assert_eq!(text.parse::<AgentId>().expect(text).as_str(), text);
        }
    }

    #[test]
    fn an_assignment_id_survives_its_text() {
        let id = AssignmentId { task: TaskId(Uuid::from_u128(7)), attempt: Attempt(3) };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("x.1".parse::<AssignmentId>().is_err());
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_read_back_or_refused(text in ".{0,70}|[a-zA-Z0-9._/+#-]{0,66}|[0-9a-f-]{36}") {
            if let Ok(id) = text.parse::<AgentId>() {
                prop_assert_eq!(id.to_string(), text.as_str());
                prop_assert!(!text.contains(['/', '+', '#', '$']));
            }
            if let Ok(id) = text.parse::<TaskId>() {
                prop_assert_eq!(id.to_string(), text.to_lowercase());
            }
        }

        #[test]
        fn an_assignment_id_is_read_back_or_refused(
            task: u128,
            attempt: u32,
            text in ".{0,50}|[0-9a-f-]{36}\\.[0-9+]{0,11}",
        ) {
            let id = AssignmentId { task: TaskId(Uuid::from_u128(task)), attempt: Attempt(attempt) };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            if let Ok(id) = text.parse::<AssignmentId>() {
                prop_assert_eq!(id.to_string().parse(), Ok(id));
            }
        }
    }
}

//! The topics, formatted and parsed by one type, so that the two can never drift apart.
//!
//! ```
//! use shared::wire::Topic;
//! let topic: Topic = "ambit/v1/agents/board-7/up".parse().unwrap();
//! assert_eq!(topic, Topic::Up("board-7".parse().unwrap()));
//! assert_eq!(topic.to_string(), "ambit/v1/agents/board-7/up");
//! ```

use std::fmt;
use std::str::FromStr;

use crate::id::AgentId;

const PREFIX: &str = "ambit/v1/agents/";

/// Where a message travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// From an agent to the core.
    Up(AgentId),
    /// From the core to an agent.
    Down(AgentId),
    /// An agent's last will, published by the broker when the agent's connection breaks.
    Will(AgentId),
}

impl Topic {
    /// The filters that the core subscribes to.
    #[must_use]
    pub fn core_filters() -> [String; 2] {
        [format!("{PREFIX}+/up"), format!("{PREFIX}+/will")]
    }

    /// The agent it belongs to.
    #[must_use]
    pub fn agent(&self) -> &AgentId {
        match self {
            Self::Up(agent) | Self::Down(agent) | Self::Will(agent) => agent,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (agent, leaf) = match self {
            Self::Up(agent) => (agent, "up"),
            Self::Down(agent) => (agent, "down"),
            Self::Will(agent) => (agent, "will"),
        };
        write!(f, "{PREFIX}{agent}/{leaf}")
    }
}

/// A text that is not a topic of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a topic of this protocol")]
pub struct UnknownTopic;

impl FromStr for Topic {
    type Err = UnknownTopic;

    fn from_str(text: &str) -> Result<Self, UnknownTopic> {
        let rest = text.strip_prefix(PREFIX).ok_or(UnknownTopic)?;
        let (agent, leaf) = rest.split_once('/').ok_or(UnknownTopic)?;
        let agent = agent.parse().map_err(|_| UnknownTopic)?;
        match leaf {
            "up" => Ok(Self::Up(agent)),
            "down" => Ok(Self::Down(agent)),
            "will" => Ok(Self::Will(agent)),
            _ => Err(UnknownTopic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_parses_formats_back_to_the_same_text(
            text in "(ambit/v1/agents/)?[a-zA-Z0-9._+#/-]{0,20}/(up|down|will|x)?"
        ) {
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string(), text);
            }
        }
    }

    #[test]
    fn wildcards_and_extra_levels_are_no_topics() {
        for text in ["ambit/v1/agents/+/up", "ambit/v1/agents/a/b/up", "ambit/v1/agents//up", ""] {
            assert_eq!(text.parse::<Topic>(), Err(UnknownTopic), "{text}");
        }
    }
}

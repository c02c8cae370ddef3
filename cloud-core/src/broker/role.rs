//! Whom a connected client acts as, and which topics that opens. Pure: text in, yes or no out.

use std::fmt;
use std::str::FromStr;

use shared::id::AgentId;
use shared::schedule::TopicFilter;
use shared::wire::Topic;

/// Whom a client acts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The core itself.
    Core,
    /// An agent with a credential of its own.
    Agent(AgentId),
    /// An agent that has a join token and asks for a credential.
    Joining(AgentId),
    /// A machine of somebody else's; where it may publish, its name tells.
    Publisher(AgentId),
}

impl Role {
    /// Whether the client may publish to this topic, by itself or by its last will.
    #[must_use]
    pub fn may_publish(&self, topic: &str) -> bool {
        match (self, topic.parse::<Topic>()) {
            (Self::Core, Ok(Topic::Down(_))) => true,
            (Self::Agent(own) | Self::Joining(own), Ok(Topic::Up(agent) | Topic::Will(agent))) => {
                *own == agent
            }
            _ => false,
        }
    }

    /// Whether the client may subscribe with this filter: exactly the ones the protocol uses, and the
    /// core to topics of others, so every other wildcard and every shared subscription is refused.
    #[must_use]
    pub fn may_subscribe(&self, filter: &str) -> bool {
        match self {
            Self::Core => {
                Topic::core_filters().iter().any(|own| own == filter)
                    || filter.parse::<TopicFilter>().is_ok()
            }
            Self::Agent(own) | Self::Joining(own) => {
                filter.parse::<Topic>().is_ok_and(|topic| topic == Topic::Down(own.clone()))
            }
            Self::Publisher(_) => false,
        }
    }
}

/// That a client was let in, as whom, and for which credential. Its text travels with the
/// connection, so that every message can be checked against the credentials of that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// Whom the client acts as.
    pub role: Role,
    /// Which credential let it in: a number that is never given twice. No secret.
    pub credential: u64,
}

impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An agent id never holds a `/`.
        match &self.role {
            Role::Core => write!(f, "core//{}", self.credential),
            Role::Agent(agent) => write!(f, "agent/{agent}/{}", self.credential),
            Role::Publisher(name) => write!(f, "publisher/{name}/{}", self.credential),
            Role::Joining(agent) => write!(f, "joining/{agent}/{}", self.credential),
        }
    }
}

/// A text that is not an admission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an admission")]
pub struct NotAnAdmission;

impl FromStr for Admission {
    type Err = NotAnAdmission;

    fn from_str(text: &str) -> Result<Self, NotAnAdmission> {
        let mut parts = text.split('/');
        let (Some(kind), Some(agent), Some(credential), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NotAnAdmission);
        };
        let credential = credential.parse().map_err(|_| NotAnAdmission)?;
        let agent_id = || agent.parse().map_err(|_| NotAnAdmission);
        let role = match kind {
            "core" if agent.is_empty() => Role::Core,
            "agent" => Role::Agent(agent_id()?),
            "joining" => Role::Joining(agent_id()?),
            "publisher" => Role::Publisher(agent_id()?),
            _ => return Err(NotAnAdmission),
        };
        Ok(Self { role, credential })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(id: &str) -> AgentId {
        id.parse().expect("an agent id")
    }

    #[test]
    fn an_agent_has_its_own_topics_and_no_others() {
        for role in [Role::Agent(agent("a")), Role::Joining(agent("a"))] {
            assert!(role.may_publish("ambit/v1/agents/a/up"));
            assert!(role.may_publish("ambit/v1/agents/a/will"));
            assert!(role.may_subscribe("ambit/v1/agents/a/down"));
            for topic in [
                "ambit/v1/agents/a/down",
                "ambit/v1/agents/b/up",
                "ambit/v1/agents/b/will",
                "ambit/v1/agents/a/up/",
                "ambit/v1/agents/a/up/x",
                "/ambit/v1/agents/a/up",
                "ambit/v1/agents/A/up",
                "ambit/v2/agents/a/up",
                "$SYS/broker",
                "",
            ] {
                assert!(!role.may_publish(topic), "{role:?} may publish to {topic}");
            }
            for filter in [
                "ambit/v1/agents/a/up",
                "ambit/v1/agents/b/down",
                "ambit/v1/agents/+/down",
                "ambit/v1/agents/a/+",
                "ambit/v1/agents/a/#",
                "ambit/#",
                "#",
                "+/+/+/+/+",
                "$SYS/#",
                "$share/group/ambit/v1/agents/a/down",
                "$share/group/#",
            ] {
                assert!(!role.may_subscribe(filter), "{role:?} may subscribe to {filter}");
            }
        }
    }

    #[test]
    fn the_core_speaks_down_and_hears_up_and_will() {
        assert!(Role::Core.may_publish("ambit/v1/agents/a/down"));
        assert!(!Role::Core.may_publish("ambit/v1/agents/a/up"));
        assert!(!Role::Core.may_publish("ambit/v1/agents/+/down"));
        assert!(Role::Core.may_subscribe("ambit/v1/agents/+/up"));
        assert!(Role::Core.may_subscribe("ambit/v1/agents/+/will"));
        for filter in ["#", "ambit/v1/agents/+/down", "$share/cores/ambit/v1/agents/+/up"] {
            assert!(!Role::Core.may_subscribe(filter), "{filter}");
        }
    }

    #[test]
    fn an_admission_survives_its_text() {
        for role in [
            Role::Core,
            Role::Agent(agent("join-a")),
            Role::Joining(agent("a.b_c-d")),
            Role::Publisher(agent("plc-1")),
        ] {
            let admission = Admission { role, credential: 18_446_744_073_709_551_615 };
            assert_eq!(admission.to_string().parse(), Ok(admission));
        }
        for text in ["", "core", "core/a/1", "agent//1", "agent/a/x", "agent/a/1/2", "root/a/1"] {
            assert_eq!(text.parse::<Admission>(), Err(NotAnAdmission), "{text}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_admission_is_read_back_and_no_other_text_is_one(
            text in ".{0,30}|(core|agent|joining)/[a-z/+#]{0,6}/[0-9+-]{0,6}",
        ) {
            if let Ok(admission) = text.parse::<Admission>() {
                prop_assert_eq!(admission.to_string().parse(), Ok(admission));
            }
        }
    }
}

//! Topics of others, to which schedules listen: which filters may be asked for, and which topics they
//! match (MQTT 5.0, section 4.7). Nothing under the fleet's own topics, and nothing that a broker keeps
//! for itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest filter, in bytes.
pub const TOPIC_BYTES_MAX: usize = 256;
/// The most levels of a filter.
pub const TOPIC_LEVELS_MAX: usize = 16;
/// The first level of what agents and the core say to each other.
const OWN: &str = "ambit";

/// A topic filter whose first level is the plain name of somebody else's topics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicFilter(String);

/// Why a text is no filter that may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicFilterError {
    /// There is nothing, or too much.
    #[error("must have 1 to {TOPIC_BYTES_MAX} bytes and at most {TOPIC_LEVELS_MAX} levels")]
    Length,
    /// The first level is not a plain name.
    #[error(
        "must begin with a plain name, such as `factory/+/alarm`: a wildcard there would hear the \
         fleet itself, and names with `$` are the broker's"
    )]
    First,
    /// The first level is that of the fleet's own topics.
    #[error("begins with `{OWN}/`, where agents and core speak to each other; name other topics")]
    Own,
    /// A wildcard is not a level by itself.
    #[error("`+` and `#` must be whole levels, and `#` the last: `factory/+/alarm`, `factory/#`")]
    Wildcard,
    /// A character that no topic has.
    #[error("must not hold control characters")]
    Character,
}

impl TopicFilter {
    /// The filter as brokers know it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a topic is one of those that are meant.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        let (mut wanted, mut levels) = (self.0.split('/'), topic.split('/'));
        loop {
            match (wanted.next(), levels.next()) {
                // Also the level above: `factory/#` is about `factory` too.
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(name), Some(level)) if name == level => {}
                _ => return false,
            }
        }
    }
}

impl FromStr for TopicFilter {
    type Err = TopicFilterError;

    fn from_str(text: &str) -> Result<Self, TopicFilterError> {
        let levels: Vec<&str> = text.split('/').collect();
        let first = levels.first().copied().unwrap_or_default();
        if text.is_empty() || text.len() > TOPIC_BYTES_MAX || levels.len() > TOPIC_LEVELS_MAX {
            return Err(TopicFilterError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(TopicFilterError::Character);
        }
        if first.is_empty() || first.starts_with('$') || first == "+" || first == "#" {
            return Err(TopicFilterError::First);
        }
        if first == OWN {
            return Err(TopicFilterError::Own);
        }
        let last = levels.len() - 1;
        let is_wrong = |(place, level): (usize, &&str)| {
            let wild = level.contains(['+', '#']);
            wild && (level.len() > 1 || (*level == "#" && place != last))
        };
        if levels.iter().enumerate().any(is_wrong) {
            return Err(TopicFilterError::Wildcard);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TopicFilter {
    type Error = TopicFilterError;

    fn try_from(text: String) -> Result<Self, TopicFilterError> {
        text.parse()
    }
}

impl From<TopicFilter> for String {
    fn from(filter: TopicFilter) -> Self {
        filter.0
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for TopicFilter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TopicFilter".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "minLength": 1,
            "maxLength": TOPIC_BYTES_MAX,
            "pattern": "^[^/+#$][^+#]*(/\\+|/[^/+#]*)*(/#)?$",
            "examples": ["factory/+/alarm"],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> TopicFilter {
        text.parse().expect(text)
    }

    #[test]
    fn a_filter_matches_as_the_standard_says() {
        for (wanted, topic, so) in [
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("sport/#", "sport", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/tennis/player1/#", "sport/tennis/player2", false),
            ("sport/+/+", "sport//score", true),
            ("a b/ü", "a b/ü", true),
            ("a", "A", false),
        ] {
            assert_eq!(filter(wanted).matches(topic), so, "{wanted} and {topic}");
        }
    }

    #[test]
    fn what_may_not_be_asked_for_is_refused_with_the_reason() {
        use TopicFilterError as Error;
        let long = "a".repeat(TOPIC_BYTES_MAX + 1);
        let deep = vec!["a"; TOPIC_LEVELS_MAX + 1].join("/");
        for (text, why) in [
            ("", Error::Length),
            (long.as_str(), Error::Length),
            (deep.as_str(), Error::Length),
            ("#", Error::First),
            ("+/alarm", Error::First),
            ("/alarm", Error::First),
            ("$SYS/broker", Error::First),
            ("$share/group/factory", Error::First),
            ("ambit/v1/agents/+/up", Error::Own),
            ("ambit", Error::Own),
            ("factory/#/alarm", Error::Wildcard),
            ("factory/a+", Error::Wildcard),
            ("factory/a#", Error::Wildcard),
            ("fact+ory", Error::Wildcard),
            ("factory/\0", Error::Character),
        ] {
            assert_eq!(text.parse::<TopicFilter>(), Err(why), "{text:?}");
        }
        assert!("ambitious/#".parse::<TopicFilter>().is_ok());
    }

    /// By the definition: a level at a time, from the front.
    fn naive(wanted: &[String], topic: &[String]) -> bool {
        match (wanted.split_first(), topic.split_first()) {
            (Some((first, _)), _) if first == "#" => true,
            (Some((first, wanted)), Some((level, topic))) => {
                (first == "+" || first == level) && naive(wanted, topic)
            }
            (None, None) => true,
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(
            rest in prop::collection::vec("[ab]?|\\+", 0..4),
            open in any::<bool>(),
            topic in prop::collection::vec("[ab]?", 1..6),
        ) {
            let mut wanted = vec!["a".to_owned()];
            wanted.extend(rest);
            wanted.extend(open.then(|| "#".to_owned()));
            let parsed: TopicFilter = wanted.join("/").parse().expect("a filter");
            prop_assert_eq!(parsed.matches(&topic.join("/")), naive(&wanted, &topic));
        }

        #[test]
        fn nothing_that_is_taken_hears_the_fleet(text in "[a+#$/]{1,8}|ambit(/[a+#]){0,3}") {
            if let Ok(filter) = text.parse::<TopicFilter>() {
                prop_assert!(!filter.matches("ambit/v1/agents/a/up"));
                prop_assert!(!filter.matches("$SYS/broker"));
            }
        }
    }
}

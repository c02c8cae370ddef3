//! `tracestate`: what the systems of a trace leave for one another, passed on and not looked into.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest state that is passed on, in bytes: what the Recommendation asks of everybody.
pub const TRACESTATE_BYTES_MAX: usize = 512;
/// The most members of a list.
const MEMBERS_MAX: usize = 32;
/// Members longer than this, in bytes, are the first to go when the whole is too long.
const MEMBER_BYTES_LONG: usize = 128;

/// A valid `tracestate`, at most [`TRACESTATE_BYTES_MAX`] long; empty when there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct TraceState(String);

impl TraceState {
    /// Reads the values of one header or several, which are one list. A list that is not valid is
    /// dropped as a whole, and one that is too long is cut: long members first, then the last.
    #[must_use]
    pub fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(members(values).map(within_bounds).unwrap_or_default())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it stands in a header; `None` when there is none.
    #[must_use]
    pub fn header(&self) -> Option<&str> {
        (!self.is_empty()).then_some(self.0.as_str())
    }
}

impl From<String> for TraceState {
    fn from(text: String) -> Self {
        Self::read([text.as_bytes()])
    }
}

impl fmt::Display for TraceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The members of a list, `None` when it is not valid.
fn members<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<&'a str>> {
    let mut members: Vec<&str> = Vec::new();
    for value in values {
        let text = std::str::from_utf8(value).ok()?;
        for member in text.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let known = |earlier: &&str| earlier.split_once('=').is_some_and(|(k, _)| k == key);
            let fits = members.len() < MEMBERS_MAX;
            if !fits || !is_key(key) || !is_value(value) || members.iter().any(known) {
                return None;
            }
            members.push(member);
        }
    }
    Some(members)
}

fn within_bounds(mut members: Vec<&str>) -> String {
    let length = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>();
    let too_long = |members: &[&str]| length(members) > TRACESTATE_BYTES_MAX + 1;
    while too_long(&members) {
        let long = members.iter().rposition(|member| member.len() > MEMBER_BYTES_LONG);
        members.remove(long.unwrap_or(members.len() - 1));
    }
    members.join(",")
}

/// A key: a name, or a name at a system.
fn is_key(key: &str) -> bool {
    let rest = |text: &str| {
        text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let letter = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase());
    match key.split_once('@') {
        None => letter(key) && key.len() <= 256 && rest(key),
        Some((tenant, system)) => {
            let begins = tenant.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            let short = tenant.len() <= 241 && system.len() <= 14;
            begins && letter(system) && short && rest(tenant) && rest(system)
        }
    }
}

/// A value: visible characters and spaces, no `,` and no `=`.
fn is_value(value: &str) -> bool {
    let good = |b: u8| matches!(b, 0x20..=0x7e) && b != b',' && b != b'=';
    (1..=256).contains(&value.len()) && !value.ends_with(' ') && value.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&str]) -> String {
        TraceState::read(values.iter().map(|value| value.as_bytes())).to_string()
    }

    #[test]
    fn a_list_is_passed_on_whatever_spaces_and_headers_it_came_in() {
        let plain = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
        assert_eq!(read(&[plain]), plain);
        assert_eq!(read(&["a=1 , b=2", ",\tc=3,"]), "a=1,b=2,c=3");
        assert_eq!(
            read(&["fw529a3039@dt=x y", "0tenant@s*y/s=!"]),
            "fw529a3039@dt=x y,0tenant@s*y/s=!"
        );
        assert_eq!((read(&[]), read(&["", " , "])), (String::new(), String::new()));
    }

    #[test]
    fn a_list_that_is_not_valid_is_dropped_as_a_whole() {
        let long_key = format!("{}=1", "k".repeat(257));
        let long_value = format!("a={}", "v".repeat(257));
        let many = (0..33).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join(",");
        for text in [
            "a",
            "a=",
            "=1",
            "A=1",
            "1a=1",
            "a=1=2",
            "a b=1",
            "a=1\u{7f}",
            "a=ä",
            "a=1,a=2",
            "a@=1",
            "@a=1",
            "a@B=1",
            "a@b@c=1",
            "a@abcdefghijklmno=1",
            "a=1\0",
            &long_key,
            &long_value,
            &many,
        ] {
            assert_eq!(read(&[text]), "", "{text}");
        }
        assert_eq!(TraceState::read([&b"a=\xff"[..]]), TraceState::default());
        assert_eq!(read(&["a=1", "a=2"]), "", "given twice");
        let most = (0..32).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join(",");
        assert_eq!(read(&[&most]), most);
    }

    #[test]
    fn what_is_too_long_loses_long_members_first_and_then_the_last() {
        let long = format!("long={}", "x".repeat(200));
        let short = |name: char| format!("{name}={}", "x".repeat(110));
        let all = [short('a'), long, short('b'), short('c'), short('d')].join(",");
        let expected = [short('a'), short('b'), short('c'), short('d')].join(",");
        assert_eq!(read(&[&all]), expected);
        let five = ['a', 'b', 'c', 'd', 'e'].map(short).join(",");
        assert_eq!(read(&[&five]), ['a', 'b', 'c', 'd'].map(short).join(","));
        // At the edge.
        let exact = format!("a={},b={}", "x".repeat(253), "x".repeat(254));
        assert_eq!((exact.len(), read(&[&exact]).len()), (512, 512));
    }

    proptest! {
        #[test]
        fn whatever_comes_what_is_passed_on_is_valid_and_bounded(
            values in prop::collection::vec("[a-c@=, \\tA\u{7f}x]{0,40}|[a-z]{1,3}=[ -~]{0,300}", 0..5)
        ) {
            let state = TraceState::read(values.iter().map(|value| value.as_bytes()));
            let text = state.to_string();
            prop_assert!(text.len() <= TRACESTATE_BYTES_MAX);
            prop_assert_eq!(TraceState::read([text.as_bytes()]), state);
        }
    }
}

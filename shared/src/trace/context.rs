//! `traceparent` and `tracestate`: read as the Recommendation says, where what is not valid is as
//! if it were not there, and written in its version 00.

use serde::{Deserialize, Serialize};

use super::{SpanId, Trace, TraceId, TraceState, digits};

/// A trace as it is handed on, in headers, variables and orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TraceContext {
    /// The trace, the span on whose behalf one works, and whether the trace is sampled, as in the
    /// header of this name.
    pub traceparent: String,
    /// What others in the trace left for one another, as in the header of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

impl TraceContext {
    pub(super) fn new(trace: &Trace, span: SpanId) -> Self {
        let traceparent = format!("00-{}-{span}-{:02x}", trace.id, u8::from(trace.sampled));
        Self { traceparent, tracestate: trace.state.header().map(str::to_owned) }
    }

    /// The same, if it is valid, else nothing: it may come from another program.
    #[must_use]
    pub fn checked(self) -> Option<Self> {
        let state = self.tracestate.as_deref().map(str::as_bytes);
        let trace = Trace::read([self.traceparent.as_bytes()], state)?;
        trace.parent.map(|parent| trace.context(parent))
    }
}

impl Trace {
    /// Reads the values of the two headers, as often as each was given; `None` when they name no
    /// trace. A state that is not valid is dropped, and the trace stays.
    #[must_use]
    pub fn read<'a>(
        traceparent: impl IntoIterator<Item = &'a [u8]>,
        tracestate: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Self> {
        let mut given = traceparent.into_iter();
        let (parent, None) = (given.next()?, given.next()) else {
            return None;
        };
        let (id, parent, sampled) = traceparent_of(parent)?;
        let state = TraceState::read(tracestate);
        Some(Self { id, parent: Some(parent), sampled, state })
    }
}

/// `version "-" trace-id "-" parent-id "-" flags`. A later version may go on behind another `-`;
/// of its flags, only the one that is known is looked at.
fn traceparent_of(text: &[u8]) -> Option<(TraceId, SpanId, bool)> {
    const LENGTH: usize = 55;
    let text = text.trim_ascii();
    let (known, more) = text.split_at_checked(LENGTH)?;
    let dashes = [2, 35, 52].iter().all(|at| known[*at] == b'-');
    let version = digits::<2>(&known[..2])?;
    let ends = match version {
        "ff" => false,
        "00" => more.is_empty(),
        _ => more.is_empty() || more[0] == b'-',
    };
    let flags = u8::from_str_radix(digits::<2>(&known[53..])?, 16).ok()?;
    let (id, parent) = (TraceId::read(&known[3..35])?, SpanId::read(&known[36..52])?);
    (dashes && ends).then_some((id, parent, flags & 1 == 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    fn read(parent: &str) -> Option<Trace> {
        Trace::read([parent.as_bytes()], None)
    }

    #[test]
    fn a_header_is_read_and_handed_on() {
        let text = format!("00-{ID}-{PARENT}-01");
        let trace = Trace::read([text.as_bytes()], [&b"a=1"[..], b"b=2"]).expect("a trace");
        assert_eq!((trace.id.to_string().as_str(), trace.sampled), (ID, true));
        assert_eq!(trace.parent.map(|parent| parent.to_string()).as_deref(), Some(PARENT));
        let span = "0000000000000001".parse().expect("a span");
        let context = trace.context(span);
        assert_eq!(context.traceparent, format!("00-{ID}-0000000000000001-01"));
        assert_eq!(context.tracestate.as_deref(), Some("a=1,b=2"));
        // Flags that nobody has defined are not handed on.
        let unsampled = read(&format!(" 00-{ID}-{PARENT}-fe\t")).expect("a trace");
        assert_eq!(unsampled.context(span).traceparent, format!("00-{ID}-0000000000000001-00"));
    }

    #[test]
    fn what_is_no_header_is_as_if_it_were_not_there() {
        let upper = ID.to_uppercase();
        for text in [
            String::new(),
            "00".to_owned(),
            format!("ff-{ID}-{PARENT}-01"),
            format!("0x-{ID}-{PARENT}-01"),
            format!("00-{upper}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{ID}-{}-01", "0".repeat(16)),
            format!("00-{ID}-{PARENT}-0"),
            format!("00-{ID}-{PARENT}-0g"),
            format!("00-{ID}-{PARENT}-01-"),
            format!("00-{ID}-{PARENT}-01-more"),
            format!("01-{ID}-{PARENT}-01more"),
            format!("00_{ID}-{PARENT}-01"),
            format!("00-{ID}_{PARENT}-01"),
            format!("00-{ID}-{PARENT}_01"),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
        let good = format!("00-{ID}-{PARENT}-01");
        assert_eq!(Trace::read([good.as_bytes(), good.as_bytes()], None), None, "given twice");
        assert_eq!(Trace::read([], [&b"a=1"[..]]), None, "a state of no trace");
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        for text in [format!("01-{ID}-{PARENT}-03"), format!("cc-{ID}-{PARENT}-01-what=ever")] {
            assert!(read(&text).is_some_and(|trace| trace.sampled), "{text}");
        }
    }

    #[test]
    fn a_state_that_is_not_valid_does_not_take_the_trace_with_it() {
        let text = format!("00-{ID}-{PARENT}-01");
        let trace = Trace::read([text.as_bytes()], [&b"nonsense"[..]]).expect("a trace");
        assert!(trace.state.is_empty());
        let odd = TraceContext { traceparent: text.clone(), tracestate: Some("\0".to_owned()) };
        let expected = TraceContext { traceparent: text, tracestate: None };
        assert_eq!(odd.checked(), Some(expected));
        let none = TraceContext { traceparent: "00-1-2-3".to_owned(), tracestate: None };
        assert_eq!(none.checked(), None);
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_read_again_from_what_is_written(
            bytes in "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-x)?|[ -~]{0,80}"
        ) {
            if let Some(trace) = read(&bytes) {
                let parent = trace.parent.expect("a parent");
                let written = trace.context(parent).traceparent;
                prop_assert_eq!(read(&written), Some(trace));
            }
        }
    }
}

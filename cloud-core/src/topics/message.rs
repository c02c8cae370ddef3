//! What a task is told of a message: its topic, and its payload as the JSON or the text that it is.
//! Bytes in, text out.

use std::sync::Arc;

use serde::de::IgnoredAny;
use shared::schedule::PAYLOAD_BYTES_MAX;
use shared_runtime::seal::base64;

/// The document of a message; `None` if it would be longer than what reaches a task. A payload that is
/// JSON is in it word for word, so that no number loses a digit.
pub(super) fn document(topic: &str, payload: &[u8]) -> Option<Arc<str>> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return None;
    }
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let text = std::str::from_utf8(payload);
    let (key, value) = match text {
        Ok(text) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            ("payload", text.trim().to_owned())
        }
        Ok(text) => ("payload", quoted(text)),
        Err(_) => ("payload_base64", quoted(&base64(payload))),
    };
    let document = format!(r#"{{"topic":{},"{key}":{value}}}"#, quoted(topic));
    (document.len() <= PAYLOAD_BYTES_MAX).then(|| document.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read(topic: &str, payload: &[u8]) -> Value {
        let document = document(topic, payload).expect("small");
        serde_json::from_str(&document).expect(&document)
    }

    #[test]
    fn a_payload_is_told_as_what_it_is() {
        assert_eq!(read("a/b", b" {\"t\": 21} \n"), json!({"topic": "a/b", "payload": {"t": 21}}));
        assert_eq!(read("a", b"open"), json!({"topic": "a", "payload": "open"}));
        assert_eq!(read("a", b""), json!({"topic": "a", "payload": ""}));
        assert_eq!(read("a\"", b"\xff\xfe"), json!({"topic": "a\"", "payload_base64": "//4="}));
        // Longer than any number that a program would keep.
        let long = "0.1234567890123456789012345678901234567890";
        let document = document("a", long.as_bytes()).expect("small");
        assert!(document.contains(long), "{document}");
    }

    #[test]
    fn what_is_too_long_to_be_told_is_not() {
        assert!(document("a", &vec![b'x'; PAYLOAD_BYTES_MAX - 100]).is_some());
        assert!(document("a", &vec![b'x'; PAYLOAD_BYTES_MAX]).is_none());
        // Short enough as it came, and not as text in JSON.
        assert!(document("a", &vec![1; PAYLOAD_BYTES_MAX / 2]).is_none());
    }

    proptest! {
        #[test]
        fn whatever_comes_it_is_one_json_document(
            topic in ".{0,40}",
            payload in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                r#"[\[\]{}",:0-9a-z\\ ]{0,40}"#.prop_map(String::into_bytes),
            ],
        ) {
            let value = read(&topic, &payload);
            prop_assert_eq!(&value["topic"], &Value::from(topic));
            prop_assert_eq!(value.as_object().map(|fields| fields.len()), Some(2));
        }
    }
}

//! The golden vectors, in both directions: keys from a token, messages to bytes and back, and what
//! an older and a newer speaker say. Whoever writes an agent checks it against the same files.

use serde::Deserialize;
use serde_json::{Value, json};
use shared::id::AgentId;
use shared::wire::{CodecError, Downlink, Topic, Uplink, decode, encode};
use shared_runtime::seal::{JoinToken, Nonce, SealKey, open, seal};

use crate::asyncapi::Described;

const WIRE: &str = "tests/vectors/wire.json";
const KEYS: &str = "tests/vectors/keys.json";
const COMPATIBILITY: &str = "tests/vectors/compatibility.json";

#[derive(Deserialize)]
struct Vector {
    topic: String,
    key: String,
    body: String,
}

#[derive(Deserialize)]
struct Spoken {
    name: String,
    up: bool,
    speaker: String,
    body: String,
    read_as: Option<String>,
    refused: Option<String>,
}

/// Reads a body and writes it again, as the code does.
fn again(up: bool, body: &str) -> Result<String, CodecError> {
    let bytes = match up {
        true => encode(&decode::<Uplink>(body.as_bytes())?)?,
        false => encode(&decode::<Downlink>(body.as_bytes())?)?,
    };
    Ok(String::from_utf8(bytes).expect("text"))
}

#[test]
fn keys_follow_from_the_token_as_the_vectors_say() {
    let kept: Value = serde_json::from_str(&super::read(KEYS)).expect("JSON");
    let text = |name: &str| kept[name].as_str().expect("a text").to_owned();
    let token = JoinToken::from_text(&text("token")).expect("a token");
    let agent: AgentId = text("agent").parse().expect("an id");
    let root = token.root(&agent, &Nonce::from_hex(&text("nonce")).expect("a nonce"));
    let now = json!({
        "token": text("token"), "agent": text("agent"), "nonce": text("nonce"),
        "root": root.expose_hex(),
        "seal_key": root.seal_key().expose_hex(),
        "broker_password": root.broker_password().expose(),
        "join_key": token.join_key(&agent).expose_hex(),
        "join_password": token.join_password(&agent).expose(),
    });
    assert_eq!(now, kept);
}

#[test]
fn messages_become_the_bytes_of_the_vectors_and_bytes_become_messages() {
    let vectors: Vec<Vector> = serde_json::from_str(&super::read(WIRE)).expect("vectors");
    let described = Described::get();
    let mut now = Vec::new();
    let mut seen = Vec::new();
    for Vector { topic, key, body } in vectors {
        let up = !matches!(topic.parse(), Ok(Topic::Down(_)));
        let written = again(up, &body).unwrap_or_else(|error| panic!("{body}: {error}"));
        let seal_key = SealKey::from_hex(&key).expect("a key");
        let sealed = seal(&seal_key, &topic, written.as_bytes());
        assert_eq!(open(&seal_key, &topic, &sealed), Ok(written.as_bytes()));
        let value = serde_json::from_str(&written).expect("JSON");
        seen.push(described.check(up, &value).unwrap_or_else(|error| panic!("{error}")));
        let sealed = String::from_utf8(sealed).expect("text");
        now.push(json!({"topic": topic, "key": key, "body": written, "sealed": sealed}));
    }
    let missing: Vec<_> = described.kinds().filter(|kind| !seen.contains(kind)).collect();
    assert!(missing.is_empty(), "no vector of {missing:?}");
    super::assert_checked_in(WIRE, &json!(now));
}

/// Rules: unknown fields are ignored, missing ones have their default, and an unknown type or
/// version is refused by name.
#[test]
fn an_older_and_a_newer_speaker_are_understood_as_the_vectors_say() {
    let spoken: Vec<Spoken> = serde_json::from_str(&super::read(COMPATIBILITY)).expect("vectors");
    assert!(spoken.iter().any(|one| one.speaker == "older"));
    assert!(spoken.iter().any(|one| one.speaker == "newer"));
    let described = Described::get();
    for Spoken { name, up, body, read_as, refused, .. } in spoken {
        let value: Value = serde_json::from_str(&body).expect("JSON");
        let is_described = described.check(up, &value);
        let found = again(up, &body);
        let name = format!("{name}: {body}");
        match (found, read_as, refused.as_deref()) {
            (Ok(found), Some(read_as), None) => {
                assert_eq!(found, read_as, "{name}");
                // What the code takes, the schema allows; and what it makes of it too.
                assert!(is_described.is_ok(), "{name}: {is_described:?}");
                let value = serde_json::from_str(&found).expect("JSON");
                assert!(described.check(up, &value).is_ok(), "{name}");
            }
            (Err(CodecError::Version { .. }), None, Some("version"))
            | (Err(CodecError::Malformed { .. }), None, Some("malformed")) => {
                assert!(is_described.is_err(), "{name}: the schema allows it");
            }
            (found, ..) => panic!("{name}: {found:?}"),
        }
    }
}

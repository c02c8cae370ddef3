//! Messages that an agent cannot have sent or cannot have meant, each with what the core counts it
//! as and says of it, kept as a golden file. Nothing of them comes in.

use std::fmt::Write as _;
use std::sync::Arc;

use shared::wire::MESSAGE_BYTES_MAX;
use shared_runtime::seal::{JoinToken, Nonce, SealKey, seal};

use super::{Credentials, Doorman};
use cloud_core_logic::change::Credential;

const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const UP: &str = "ambit/v1/agents/a/up";
const WILL: &str = "ambit/v1/agents/a/will";

fn token() -> JoinToken {
    JoinToken::from_text("a token of sixteen or more").expect("a token")
}

fn own_key() -> SealKey {
    let nonce = Nonce::from_hex(NONCE).expect("a nonce");
    token().root(&"a".parse().expect("an id"), &nonce).seal_key()
}

fn join_key(agent: &str) -> SealKey {
    token().join_key(&agent.parse().expect("an id"))
}

/// A doorman who knows agent `a`.
fn doorman() -> Doorman {
    let credentials = Credentials::default();
    let credential =
        Credential { password_hash: "00".repeat(32), seal_key: own_key().expose_hex() };
    credentials.put(&"a".parse().expect("an id"), &credential);
    Doorman::new(Arc::new(credentials), token())
}

/// What is not sealed as it should be: about what, the topic, and the payload.
fn unsealed() -> Vec<(&'static str, String, Vec<u8>)> {
    let ping = br#"{"v":1,"type":"ping","nonce":1,"session":1}"#;
    let good = seal(&own_key(), UP, ping);
    let upper = good.to_ascii_uppercase();
    let mut changed = good.clone();
    changed.extend_from_slice(b" ");
    let up = |agent: &str| format!("ambit/v1/agents/{agent}/up");
    vec![
        ("nothing", up("a"), Vec::new()),
        ("a body without a seal", up("a"), ping.to_vec()),
        ("a seal without a body", up("a"), good[..64].to_vec()),
        ("a seal in capitals", up("a"), upper),
        ("a seal of another key", up("a"), seal(&join_key("b"), UP, ping)),
        ("a seal for another topic", up("a"), seal(&own_key(), WILL, ping)),
        ("a body that was changed", up("a"), changed),
        ("an agent that never joined", up("b"), seal(&own_key(), &up("b"), ping)),
        (
            "a join that is not sealed with the join key",
            up("a"),
            seal(&own_key(), UP, join(NONCE).as_bytes()),
        ),
        ("something else under the join key", up("a"), seal(&join_key("a"), UP, ping)),
        ("a join with a short nonce", up("a"), seal(&join_key("a"), UP, join("00").as_bytes())),
        (
            "a join with a nonce that is no hex",
            up("a"),
            seal(&join_key("a"), UP, join(&"z".repeat(64)).as_bytes()),
        ),
        ("a join as a will", WILL.to_owned(), seal(&join_key("a"), WILL, join(NONCE).as_bytes())),
        ("a will that is none", WILL.to_owned(), seal(&own_key(), WILL, ping)),
        ("more than a message may have", up("a"), vec![b'a'; MESSAGE_BYTES_MAX + 1]),
        ("an id with a plus", up("+"), good.clone()),
        ("an id with a hash", up("#"), good.clone()),
        ("an id with a slash", up("a/b"), good.clone()),
        ("an id with a line break", up("a\nb"), good.clone()),
        ("an id that is empty", up(""), good.clone()),
        ("an id that is too long", up(&"a".repeat(300)), good.clone()),
        ("the core's own topic", "ambit/v1/agents/a/down".to_owned(), good.clone()),
        ("another version of the protocol", "ambit/v2/agents/a/up".to_owned(), good.clone()),
        ("a topic of the broker", "$SYS/broker/uptime".to_owned(), good.clone()),
        ("a topic of nobody", "ambit/v1/agents/a/sideways".to_owned(), good),
    ]
}

fn join(nonce: &str) -> String {
    let incarnation = "00000000-0000-4000-8000-000000000001";
    format!(r#"{{"v":1,"type":"join","nonce":"{nonce}","incarnation":"{incarnation}"}}"#)
}

/// Bodies that are sealed rightly by agent `a`, and say nothing.
const BODIES: &[(&str, &str)] = &[
    ("an empty body", ""),
    ("no JSON", "hello"),
    ("JSON that ends too early", r#"{"v":1,"type":"ping","#),
    ("JSON that is no object", "[1]"),
    ("null", "null"),
    ("no version", r#"{"type":"ping","nonce":1,"session":1}"#),
    ("a version of tomorrow", r#"{"v":2,"type":"ping","nonce":1,"session":1}"#),
    ("a version that is a text", r#"{"v":"1","type":"ping","nonce":1,"session":1}"#),
    ("a negative version", r#"{"v":-1,"type":"ping","nonce":1,"session":1}"#),
    ("no type", r#"{"v":1,"nonce":1}"#),
    ("a type of nobody", r#"{"v":1,"type":"sing"}"#),
    ("a type of the other direction", r#"{"v":1,"type":"welcome"}"#),
    ("a field that is missing", r#"{"v":1,"type":"ping","nonce":1}"#),
    ("a number that is negative", r#"{"v":1,"type":"ping","nonce":-1,"session":1}"#),
    (
        "a number that is too large",
        r#"{"v":1,"type":"ping","nonce":18446744073709551616,"session":1}"#,
    ),
    ("a number that is not whole", r#"{"v":1,"type":"ping","nonce":1.5,"session":1}"#),
    ("a field twice", r#"{"v":1,"type":"ping","nonce":1,"nonce":2,"session":1}"#),
    (
        "an incarnation that is none",
        r#"{"v":1,"type":"gone","incarnation":"x","boot":1,"session":1,"link":1,"orderly":false}"#,
    ),
    (
        "a boot beyond its range",
        r#"{"v":1,"type":"gone","incarnation":"00000000-0000-4000-8000-000000000001","boot":1e30,"session":1,"link":1,"orderly":false}"#,
    ),
    (
        "a flag that is a text",
        r#"{"v":1,"type":"gone","incarnation":"00000000-0000-4000-8000-000000000001","boot":1,"session":1,"link":1,"orderly":"no"}"#,
    ),
    (
        "a report of an attempt that cannot be",
        r#"{"v":1,"type":"reports","incarnation":"00000000-0000-4000-8000-000000000001","session":1,"after":0,"upto":1,"items":[{"seq":1,"task":"x","attempt":1,"at":"2026-11-21T01:02:03.456Z","event":"accepted"}]}"#,
    ),
    (
        "reports that are no list",
        r#"{"v":1,"type":"reports","incarnation":"00000000-0000-4000-8000-000000000001","session":1,"after":0,"upto":1,"items":{}}"#,
    ),
];

#[test]
fn malformed_messages_of_agents_are_dropped_counted_and_told() {
    let doorman = doorman();
    let mut text = String::new();
    let mut tell = |about: &str, topic: &str, payload: &[u8]| {
        let dropped = doorman.open(topic, payload).expect_err(about);
        let topic: String = topic.escape_debug().take(60).collect();
        let _ = writeln!(text, "# {about}\n> {topic}\n< {:?}: {}\n", dropped.cause, dropped.detail);
    };
    for (about, topic, payload) in unsealed() {
        tell(about, &topic, &payload);
    }
    for (about, body) in BODIES {
        tell(about, UP, &seal(&own_key(), UP, body.as_bytes()));
    }
    insta::assert_snapshot!(text);
}

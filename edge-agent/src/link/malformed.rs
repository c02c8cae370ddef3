//! Messages that the core cannot have sent or cannot have meant, each with what the agent says of
//! it in its log, kept as a golden file. Nothing of them has an effect.

use std::fmt::Write as _;

use shared::wire::MESSAGE_BYTES_MAX;
use shared_runtime::seal::{JoinToken, Nonce, Root, SealKey, seal};

use super::line::read;

const DOWN: &str = "ambit/v1/agents/a/down";

fn root(agent: &str) -> Root {
    let token = JoinToken::from_text("a token of sixteen or more").expect("a token");
    let nonce = Nonce::from_hex(&"07".repeat(32)).expect("a nonce");
    token.root(&agent.parse().expect("an id"), &nonce)
}

fn key() -> SealKey {
    root("a").seal_key()
}

/// What is not sealed as it should be.
fn unsealed() -> Vec<(&'static str, Vec<u8>)> {
    let body = br#"{"v":1,"type":"who_is_there"}"#;
    let good = seal(&key(), DOWN, body);
    assert!(read(&key(), DOWN, &good).is_ok());
    let mut changed = good.clone();
    changed.extend_from_slice(b" ");
    vec![
        ("nothing", Vec::new()),
        ("a body without a seal", body.to_vec()),
        ("a seal without a body", good[..64].to_vec()),
        ("a seal in capitals", good.to_ascii_uppercase()),
        ("a seal of another agent's key", seal(&root("b").seal_key(), DOWN, body)),
        ("a message to another agent", seal(&key(), "ambit/v1/agents/b/down", body)),
        ("a body that was changed", changed),
        ("more than a message may have", vec![b'a'; MESSAGE_BYTES_MAX + 1]),
    ]
}

const WELCOME: &str = r#""core":"00000000-0000-4000-8000-000000000002","incarnation":"00000000-0000-4000-8000-000000000001""#;

/// Bodies that are sealed rightly, and say nothing that an agent understands.
fn bodies() -> Vec<(&'static str, String)> {
    let desired = |row: &str| {
        format!(r#"{{"v":1,"type":"desired",{WELCOME},"base":0,"upto":1,"rows":[{row}]}}"#)
    };
    let text = |body: &str| body.to_owned();
    let task = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b";
    vec![
        ("an empty body", String::new()),
        ("no JSON", text("hello")),
        ("JSON that ends too early", text(r#"{"v":1,"type":"pong","#)),
        ("JSON that is no object", text("[1]")),
        ("no version", text(r#"{"type":"pong","nonce":1}"#)),
        ("a version of tomorrow", text(r#"{"v":2,"type":"pong","nonce":1}"#)),
        ("a type of nobody", text(r#"{"v":1,"type":"self_destruct"}"#)),
        ("a type of the other direction", text(r#"{"v":1,"type":"ping","nonce":1,"session":1}"#)),
        ("a field that is missing", text(r#"{"v":1,"type":"pong"}"#)),
        ("a number that is negative", text(r#"{"v":1,"type":"pong","nonce":-1}"#)),
        ("a number that is not whole", text(r#"{"v":1,"type":"pong","nonce":0.5}"#)),
        (
            "a number that is too large",
            text(r#"{"v":1,"type":"pong","nonce":99999999999999999999}"#),
        ),
        (
            "a core that is none",
            text(r#"{"v":1,"type":"acked","core":"x","incarnation":"x","seq":1}"#),
        ),
        ("a reason of nobody", text(r#"{"v":1,"type":"refused","reason":"dislike","detail":"x"}"#)),
        (
            "rows that are no list",
            format!(r#"{{"v":1,"type":"desired",{WELCOME},"base":0,"upto":1,"rows":7}}"#),
        ),
        (
            "a row of a task that is none",
            desired(r#"{"rev":1,"task":"a/b","attempt":1,"want":{"stop":{"reason":"canceled"}}}"#),
        ),
        ("a row without a wish", desired(&format!(r#"{{"rev":1,"task":"{task}","attempt":1}}"#))),
        (
            "a wish of nobody",
            desired(&format!(r#"{{"rev":1,"task":"{task}","attempt":1,"want":{{"dance":{{}}}}}}"#)),
        ),
        (
            "an order without anything to run",
            desired(&format!(
                r#"{{"rev":1,"task":"{task}","attempt":1,"want":{{"run":{{"name":null}}}}}}"#
            )),
        ),
        (
            "an order to run what nobody can",
            desired(&format!(
                r#"{{"rev":1,"task":"{task}","attempt":1,"want":{{"run":{{"name":null,"run":{{"container":{{}}}},"needs":{{}},"priority":1,"timeout_ms":null,"grace_ms":1,"stop_after_ms":null}}}}}}"#
            )),
        ),
        (
            "a priority beyond its range",
            desired(&format!(
                r#"{{"rev":1,"task":"{task}","attempt":1,"want":{{"run":{{"name":null,"run":{{"noop":{{}}}},"needs":{{}},"priority":256,"timeout_ms":null,"grace_ms":1,"stop_after_ms":null}}}}}}"#
            )),
        ),
    ]
}

#[test]
fn malformed_messages_of_a_core_are_told_and_have_no_effect() {
    let mut text = String::new();
    let mut tell = |about: &str, payload: &[u8]| {
        let reason = read(&key(), DOWN, payload).expect_err(about);
        let _ = writeln!(text, "# {about}\n< {reason}\n");
    };
    for (about, payload) in unsealed() {
        tell(about, &payload);
    }
    for (about, body) in bodies() {
        tell(about, &seal(&key(), DOWN, body.as_bytes()));
    }
    insta::assert_snapshot!(text);
}

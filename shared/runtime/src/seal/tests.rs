//! The seal against flipped bits, other topics and hostile bytes, and the derivations against
//! values computed elsewhere.

use proptest::prelude::*;
use shared::id::AgentId;

use super::*;

fn agent(text: &str) -> AgentId {
    text.parse().expect("agent id")
}

fn key() -> SealKey {
    SealKey::from_hex(&"2a".repeat(32)).expect("key")
}

/// Computed with Python's hmac and hashlib from the derivations as the protocol describes them.
#[test]
fn the_derivations_are_those_of_an_independent_implementation() {
    let token = JoinToken::from_text("a token of sixteen\n").expect("token");
    let agent = agent("board-7");
    let nonce = Nonce::from_hex(&format!("{}2a", "00".repeat(31))).expect("nonce");
    let root = token.root(&agent, &nonce);
    assert_eq!(
        root.expose_hex(),
        "59121ae88a254799d91e031b6bf5f41dd3a8a9a1f759705397996e58e0e612c9"
    );
    assert_eq!(
        root.seal_key().expose_hex(),
        "bcfbd704d605eff17c9aaad042de7bf6d736df7444d5663c25d2a5fe30692cbb"
    );
    assert_eq!(
        root.broker_password().expose(),
        "c4178e5532d0e2dc3a3cbfafd76af5487bf73d9887b4c8fb87c2e7285a825c7e"
    );
    assert_eq!(
        token.join_key(&agent).expose_hex(),
        "214b50a5d179807df21f3be41389be18cc52d7e980d26aaf34e4af06447c1448"
    );
    assert_eq!(
        token.join_password(&agent).expose(),
        "9c24685699b50ba5e1ca8b2361914d5de55780c3566001bf98f97d797344beb7"
    );
    let payload = seal(&root.seal_key(), "ambit/v1/agents/board-7/up", br#"{"v":1}"#);
    assert_eq!(
        String::from_utf8(payload).expect("text"),
        "7ad53b9ce778bf01fecb8b4e3b0ae5378d045bdeb180b65672ad545d9e5f78c0\n{\"v\":1}"
    );
}

#[test]
fn each_agent_each_nonce_and_each_token_has_its_own_keys() {
    let token = JoinToken::from_text("a token of sixteen").expect("token");
    let other = JoinToken::from_text("another token of many").expect("token");
    let nonce = Nonce::fresh();
    let root = token.root(&agent("a"), &nonce);
    assert_eq!(root, token.root(&agent("a"), &nonce));
    assert_ne!(root, token.root(&agent("b"), &nonce));
    assert_ne!(root, token.root(&agent("a"), &Nonce::fresh()));
    assert_ne!(root, other.root(&agent("a"), &nonce));
    assert_ne!(root.seal_key(), token.join_key(&agent("a")));
    assert_ne!(root.broker_password(), token.join_password(&agent("a")));
}

#[test]
fn what_is_written_down_is_read_back() {
    let root = JoinToken::from_text("a token of sixteen")
        .expect("token")
        .root(&agent("a"), &Nonce::fresh());
    assert_eq!(Root::from_hex(&root.expose_hex()), Ok(root.clone()));
    assert_eq!(SealKey::from_hex(&root.seal_key().expose_hex()), Ok(root.seal_key()));
    assert!(Root::from_hex("00").is_err() && SealKey::from_hex(&"AA".repeat(32)).is_err());
}

#[test]
fn a_short_token_is_refused_and_no_secret_is_ever_printed() {
    assert!(matches!(
        JoinToken::from_text("fifteen bytes..\n"),
        Err(TokenError::Short { bytes: 15 })
    ));
    let token = JoinToken::from_text(&JoinToken::fresh_text()).expect("fresh");
    let root = token.root(&agent("a"), &Nonce::fresh());
    let printed = format!("{token:?} {root:?} {:?} {:?}", root.seal_key(), root.broker_password());
    assert_eq!(printed, "JoinToken(..) Root(..) SealKey(..) BrokerPassword(..)");
}

#[test]
fn a_token_file_must_be_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "a token of sixteen\n").expect("write");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("mode");
    assert!(matches!(JoinToken::from_file(&path), Err(TokenError::File(_))));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    assert!(JoinToken::from_file(&path).is_ok());
}

#[test]
fn a_payload_at_the_limit_is_opened_and_one_byte_more_is_not_looked_at() {
    let body = vec![b'x'; BODY_BYTES_MAX];
    let mut payload = seal(&key(), "t", &body);
    assert_eq!(open(&key(), "t", &payload).map(<[u8]>::len), Ok(BODY_BYTES_MAX));
    payload.push(b'x');
    assert_eq!(
        open(&key(), "t", &payload),
        Err(SealError::TooLarge { bytes: MESSAGE_BYTES_MAX + 1 })
    );
}

#[test]
fn a_topic_and_its_body_cannot_be_shifted_into_each_other() {
    let payload = seal(&key(), "a", b"b\nc");
    assert_eq!(open(&key(), "a", &payload), Ok(&b"b\nc"[..]));
    let moved: Vec<u8> = [&payload[..SEAL_BYTES], b"c"].concat();
    // The same bytes under the seal, but a topic never holds a newline.
    assert!("ambit/v1/agents/a/up".find('\n').is_none());
    assert_eq!(open(&key(), "a\nb", &moved), Ok(&b"c"[..]), "why topics must not hold newlines");
    assert_eq!(open(&key(), "b", &moved), Err(SealError::Wrong));
}

proptest! {
    #[test]
    fn what_is_sealed_is_opened(topic in "[a-z/0-9]{0,40}", body: Vec<u8>) {
        let payload = seal(&key(), &topic, &body);
        prop_assert_eq!(open(&key(), &topic, &payload), Ok(&body[..]));
    }

    #[test]
    fn any_flipped_bit_is_refused(body: Vec<u8>, position: prop::sample::Index, bit in 0_u8..8) {
        let mut payload = seal(&key(), "topic", &body);
        let position = position.index(payload.len());
        payload[position] ^= 1 << bit;
        prop_assert!(open(&key(), "topic", &payload).is_err());
    }

    #[test]
    fn a_cut_or_grown_payload_is_refused(body: Vec<u8>, cut: prop::sample::Index, more in 1_usize..9) {
        let payload = seal(&key(), "topic", &body);
        prop_assert!(open(&key(), "topic", &payload[..cut.index(payload.len())]).is_err());
        let grown = [&payload[..], &vec![0; more][..]].concat();
        prop_assert!(open(&key(), "topic", &grown).is_err());
    }

    #[test]
    fn another_topic_or_another_key_is_refused(
        topic in "[a-z/]{1,20}", other in "[a-z/]{1,20}", body: Vec<u8>, bytes: [u8; 32],
    ) {
        let payload = seal(&key(), &topic, &body);
        prop_assume!(topic != other && bytes != [0x2a; 32]);
        prop_assert_eq!(open(&key(), &other, &payload), Err(SealError::Wrong));
        let other_key = SealKey::from_hex(&to_hex(&bytes)).expect("key");
        prop_assert_eq!(open(&other_key, &topic, &payload), Err(SealError::Wrong));
    }

    #[test]
    fn hostile_bytes_are_refused_without_a_panic(payload: Vec<u8>) {
        prop_assert!(open(&key(), "topic", &payload).is_err());
    }

    #[test]
    fn hostile_bytes_that_look_sealed_are_refused(payload in "[0-9a-fA-Fg]{60,68}\n?.{0,30}") {
        prop_assert!(open(&key(), "topic", payload.as_bytes()).is_err());
    }

    #[test]
    fn hex_is_read_back(bytes: [u8; 16]) {
        prop_assert_eq!(from_hex(&to_hex(&bytes)), Ok(bytes));
    }
}

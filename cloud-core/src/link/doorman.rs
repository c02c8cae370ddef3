//! Decides what may come in: a message counts only when its seal proves who sent it. Bytes in, an
//! input or a reason out; does no I/O.

use std::fmt::Display;
use std::sync::Arc;

use cloud_core_logic::Input;
use cloud_core_logic::change::Credential;
use shared::id::AgentId;
use shared::wire::uplink::Join;
use shared::wire::{CodecError, Topic, Uplink, decode};
use shared_runtime::seal::{JoinToken, Nonce, SealError, open, password_hash, to_hex};

use super::Credentials;
use crate::observe::DropCause;

/// Opens what comes in.
#[derive(Debug, Clone)]
pub struct Doorman {
    credentials: Arc<Credentials>,
    token: JoinToken,
}

/// A message that does not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Why.
    pub cause: DropCause,
    /// In words.
    pub detail: String,
}

impl Dropped {
    fn because(cause: DropCause, detail: impl Display) -> Self {
        Self { cause, detail: detail.to_string() }
    }
}

impl Doorman {
    /// One that knows these credentials and lets join who holds this token.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>, token: JoinToken) -> Self {
        Self { credentials, token }
    }

    /// Opens a message.
    ///
    /// # Errors
    /// Why it does not come in. It then proves nothing about anybody.
    pub fn open(&self, topic: &str, payload: &[u8]) -> Result<Input, Dropped> {
        let (agent, is_will) = match topic.parse() {
            Ok(Topic::Up(agent)) => (agent, false),
            Ok(Topic::Will(agent)) => (agent, true),
            Ok(Topic::Down(_)) => {
                return Err(Dropped::because(DropCause::UnknownTopic, "a topic of the core's own"));
            }
            Err(error) => return Err(Dropped::because(DropCause::UnknownTopic, error)),
        };
        let key = self.credentials.key(&agent);
        let opened = key.as_ref().map(|key| open(key, topic, payload));
        match opened {
            Some(Ok(body)) => own(agent, is_will, body),
            // Not sealed with the agent's key: it may ask for a new one with the join token.
            _ => match open(&self.token.join_key(&agent), topic, payload) {
                Ok(body) if !is_will => self.join(agent, body),
                Ok(_) => Err(Dropped::because(DropCause::Malformed, "a will before joining")),
                Err(SealError::Wrong) if key.is_none() => {
                    let detail = "sealed neither by an agent that has joined nor with the join \
                                  token; give the agent the join token of this core";
                    Err(Dropped::because(DropCause::UnknownAgent, detail))
                }
                Err(error @ SealError::TooLarge { .. }) => {
                    Err(Dropped::because(DropCause::TooLarge, error))
                }
                Err(error) => Err(Dropped::because(DropCause::WrongSeal, error)),
            },
        }
    }

    /// A message sealed with the join key.
    fn join(&self, agent: AgentId, body: &[u8]) -> Result<Input, Dropped> {
        match decode(body).map_err(malformed)? {
            Uplink::Join(join) => {
                let credential = self.credential(&agent, &join)?;
                Ok(Input::Join { agent, join, credential })
            }
            // The join key is no agent's own: it proves nothing beyond the right to join.
            _ => Err(Dropped::because(
                DropCause::WrongSeal,
                "only a join is sealed with the join key",
            )),
        }
    }

    /// What the core remembers of the credential that a join asks for.
    fn credential(&self, agent: &AgentId, join: &Join) -> Result<Credential, Dropped> {
        let nonce = Nonce::from_hex(&join.nonce)
            .map_err(|error| Dropped::because(DropCause::BadNonce, format!("nonce: {error}")))?;
        let root = self.token.root(agent, &nonce);
        let password = root.broker_password();
        Ok(Credential {
            password_hash: to_hex(&password_hash(password.expose().as_bytes())),
            seal_key: root.seal_key().expose_hex(),
        })
    }
}

/// A message sealed with the agent's own key.
fn own(agent: AgentId, is_will: bool, body: &[u8]) -> Result<Input, Dropped> {
    match decode(body).map_err(malformed)? {
        Uplink::Join(_) => {
            let detail = "a join is sealed with the join key";
            Err(Dropped::because(DropCause::WrongSeal, detail))
        }
        message @ Uplink::Gone(_) => Ok(Input::Uplink { agent, message }),
        _ if is_will => Err(Dropped::because(DropCause::Malformed, "a will may only say `gone`")),
        message => Ok(Input::Uplink { agent, message }),
    }
}

fn malformed(error: CodecError) -> Dropped {
    match error {
        CodecError::TooLarge { .. } => Dropped::because(DropCause::TooLarge, error),
        _ => Dropped::because(DropCause::Malformed, error),
    }
}

#[cfg(test)]
mod tests {
    use shared::id::{Boot, Incarnation};
    use shared::wire::encode;
    use shared::wire::uplink::Gone;
    use shared_runtime::seal::{SealKey, seal};
    use uuid::Uuid;

    use super::*;

    const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const UP: &str = "ambit/v1/agents/a/up";
    const WILL: &str = "ambit/v1/agents/a/will";

    fn token() -> JoinToken {
        JoinToken::from_text("a token of sixteen or more").expect("a token")
    }

    fn agent(id: &str) -> AgentId {
        id.parse().expect("an agent id")
    }

    fn key_of(id: &str) -> SealKey {
        token().root(&agent(id), &Nonce::from_hex(NONCE).expect("nonce")).seal_key()
    }

    /// A doorman who knows agent `a`.
    fn doorman() -> Doorman {
        let credentials = Arc::new(Credentials::default());
        let doorman = Doorman::new(Arc::clone(&credentials), token());
        let credential = doorman.credential(&agent("a"), &asked(NONCE)).expect("credential");
        credentials.put(&agent("a"), &credential);
        doorman
    }

    fn asked(nonce: &str) -> Join {
        Join { nonce: nonce.to_owned(), incarnation: Incarnation(Uuid::from_u128(1)) }
    }

    fn gone() -> Uplink {
        Uplink::Gone(Gone {
            incarnation: Incarnation(Uuid::from_u128(1)),
            boot: Boot(1),
            session: shared::id::Session(1),
            link: 1,
            orderly: false,
        })
    }

    fn sealed(key: &SealKey, topic: &str, message: &Uplink) -> Vec<u8> {
        seal(key, topic, &encode(message).expect("encode"))
    }

    fn cause(topic: &str, payload: &[u8]) -> DropCause {
        doorman().open(topic, payload).expect_err("dropped").cause
    }

    #[test]
    fn what_an_agent_seals_is_its_own() {
        let message = Uplink::Ping { nonce: 7, session: shared::id::Session(1) };
        let payload = sealed(&key_of("a"), UP, &message);
        assert_eq!(doorman().open(UP, &payload), Ok(Input::Uplink { agent: agent("a"), message }));
        let payload = sealed(&key_of("a"), WILL, &gone());
        let expected = Input::Uplink { agent: agent("a"), message: gone() };
        assert_eq!(doorman().open(WILL, &payload), Ok(expected));
    }

    #[test]
    fn what_another_key_or_topic_sealed_is_dropped() {
        let message = Uplink::Ping { nonce: 7, session: shared::id::Session(1) };
        assert_eq!(cause(UP, &sealed(&key_of("b"), UP, &message)), DropCause::WrongSeal);
        assert_eq!(cause(UP, &sealed(&key_of("a"), WILL, &message)), DropCause::WrongSeal);
        let other = "ambit/v1/agents/b/up";
        assert_eq!(cause(other, &sealed(&key_of("a"), other, &message)), DropCause::UnknownAgent);
        let mut changed = sealed(&key_of("a"), UP, &message);
        *changed.last_mut().expect("bytes") = b' ';
        assert_eq!(cause(UP, &changed), DropCause::WrongSeal);
        assert_eq!(cause(UP, b"{}"), DropCause::WrongSeal);
        assert_eq!(cause(UP, &vec![b'a'; 300_000]), DropCause::TooLarge);
    }

    #[test]
    fn a_join_needs_the_join_key_and_gives_what_the_agent_derives_too() {
        for id in ["a", "new"] {
            let topic = Topic::Up(agent(id)).to_string();
            let join = asked(NONCE);
            let message = Uplink::Join(join.clone());
            let payload = sealed(&token().join_key(&agent(id)), &topic, &message);
            let Ok(Input::Join { agent: from, join: heard, credential }) =
                doorman().open(&topic, &payload)
            else {
                panic!("not let in");
            };
            assert_eq!((from, heard), (agent(id), join));
            assert_eq!(credential.seal_key, key_of(id).expose_hex());
            // Another agent's join key, or the agent's own key, opens nothing.
            let foreign = sealed(&token().join_key(&agent("x")), &topic, &message);
            assert!(doorman().open(&topic, &foreign).is_err());
        }
        let own = sealed(&key_of("a"), UP, &Uplink::Join(asked(NONCE)));
        assert_eq!(cause(UP, &own), DropCause::WrongSeal);
        let key = token().join_key(&agent("a"));
        let short = sealed(&key, UP, &Uplink::Join(asked("00")));
        assert_eq!(cause(UP, &short), DropCause::BadNonce);
        let will = sealed(&key, WILL, &Uplink::Join(asked(NONCE)));
        assert_eq!(cause(WILL, &will), DropCause::Malformed);
    }

    #[test]
    fn the_join_key_says_nothing_but_join_and_a_will_nothing_but_gone() {
        let key = token().join_key(&agent("a"));
        assert_eq!(cause(UP, &sealed(&key, UP, &gone())), DropCause::WrongSeal);
        let ping = Uplink::Ping { nonce: 7, session: shared::id::Session(1) };
        assert_eq!(cause(WILL, &sealed(&key_of("a"), WILL, &ping)), DropCause::Malformed);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart_from_what_cannot_be_believed() {
        let broken = seal(&key_of("a"), UP, b"{\"v\":1,\"type\":\"nonsense\"}");
        assert_eq!(cause(UP, &broken), DropCause::Malformed);
        let newer = seal(&key_of("a"), UP, b"{\"v\":2,\"type\":\"ping\",\"nonce\":1}");
        assert_eq!(cause(UP, &newer), DropCause::Malformed);
        assert_eq!(cause("ambit/v1/agents/a/down", b""), DropCause::UnknownTopic);
        assert_eq!(cause("ambit/v1/agents/+/up", b""), DropCause::UnknownTopic);
    }
}

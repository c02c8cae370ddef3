//! Which credentials are in force on the embedded broker: the core's own, one per agent, and the
//! join token. Shared between the broker, which asks, and the driver, which changes it after a
//! commit. Holds hashes of passwords, never a password of an agent.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use shared::id::AgentId;
use shared_runtime::clock::random_bytes;
use shared_runtime::seal::{BrokerPassword, JoinToken, password_hash, password_matches, to_hex};

use super::{
    Admission, CORE_TOPICS_CLIENT_ID, CORE_USERNAME, ConnectAttempt, ConnectRefused, Gatekeeper,
    Publishers, Role,
};

/// What client ids of publishers begin with. No agent id has a `:`.
const PUBLISHER_PREFIX: &str = "publisher:";

/// The credentials in force. Every change holds from the next message on.
#[derive(Debug)]
pub struct CredentialBook {
    core: BrokerPassword,
    publishers: Publishers,
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    agents: HashMap<AgentId, Credential>,
    /// Agents that an operator does not want to see again.
    revoked: HashSet<AgentId>,
    join: Option<Join>,
    /// The last number given to a credential.
    last_number: u64,
}

#[derive(Debug)]
struct Credential {
    password_hash: [u8; 32],
    number: u64,
}

#[derive(Debug)]
struct Join {
    token: JoinToken,
    number: u64,
}

/// The number of a credential that never changes while the process lives: the core's own, and those of
/// publishers.
const FIXED_NUMBER: u64 = 0;

impl CredentialBook {
    /// A book without agents, with a fresh password for the core. Without a join token no agent
    /// can join; those that have a credential still connect.
    #[must_use]
    pub fn new(join_token: Option<JoinToken>) -> Self {
        let book = Self {
            core: BrokerPassword::from_text(to_hex(&random_bytes::<32>())),
            publishers: Publishers::default(),
            entries: RwLock::default(),
        };
        book.set_join_token(join_token);
        book
    }

    /// The same with machines of others, which may publish.
    #[must_use]
    pub fn with_publishers(mut self, publishers: Publishers) -> Self {
        self.publishers = publishers;
        self
    }

    /// What the core itself connects with, as [`CORE_USERNAME`]. Made new at every start and
    /// never written down.
    #[must_use]
    pub fn core_password(&self) -> &BrokerPassword {
        &self.core
    }

    /// Puts an agent's credential in force: SHA-256 of its broker password, as
    /// [`password_hash`] gives it. Connections made with another one may no longer publish or
    /// subscribe; with the same one nothing changes.
    pub fn set_agent(&self, agent: AgentId, password_hash: [u8; 32]) {
        let mut entries = self.write();
        if entries.agents.get(&agent).is_some_and(|old| old.password_hash == password_hash) {
            return;
        }
        let number = entries.next_number();
        entries.agents.insert(agent, Credential { password_hash, number });
    }

    /// Withdraws an agent's credential; whether there was one. To end its connection as well,
    /// follow with [`super::Broker::disconnect`].
    pub fn remove_agent(&self, agent: &AgentId) -> bool {
        self.write().agents.remove(agent).is_some()
    }

    /// Withdraws an agent's credential and lets it join no more.
    pub fn revoke_agent(&self, agent: AgentId) {
        let mut entries = self.write();
        entries.agents.remove(&agent);
        entries.revoked.insert(agent);
    }

    /// Lets an agent that was revoked join again.
    pub fn readmit_agent(&self, agent: &AgentId) {
        // Asked for every agent that changes, and nearly none is revoked.
        if self.read().revoked.contains(agent) {
            self.write().revoked.remove(agent);
        }
    }

    /// Puts a join token in force, or none. Connections that joined by another one end their
    /// rights at once.
    pub fn set_join_token(&self, token: Option<JoinToken>) {
        let mut entries = self.write();
        let number = entries.next_number();
        entries.join = token.map(|token| Join { token, number });
    }

    /// How many agents have a credential.
    #[must_use]
    pub fn agents(&self) -> usize {
        self.read().agents.len()
    }

    /// Lets a machine of somebody else's in, which has `tail` behind the prefix of its client id.
    fn publisher(
        &self,
        name: AgentId,
        tail: &str,
        attempt: &ConnectAttempt<'_>,
    ) -> Result<Admission, ConnectRefused> {
        // Its name, and behind a `:` whatever tells its connections apart.
        if tail.split(':').next() != Some(name.as_str()) {
            return Err(ConnectRefused::ForeignClientId);
        }
        let own = self.publishers.get(&name).ok_or(ConnectRefused::UnknownPublisher)?;
        if !password_matches(&own.password_hash, attempt.password) {
            return Err(ConnectRefused::WrongPassword);
        }
        Ok(Admission { role: Role::Publisher(name), credential: FIXED_NUMBER })
    }

    // A panic elsewhere leaves the map as it was: every write above is one insert or one remove.
    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn next_number(&mut self) -> u64 {
        self.last_number = self.last_number.saturating_add(1);
        self.last_number
    }

    fn agent(
        &self,
        agent: AgentId,
        attempt: &ConnectAttempt<'_>,
    ) -> Result<Admission, ConnectRefused> {
        if self.revoked.contains(&agent) {
            return Err(ConnectRefused::Revoked);
        }
        let credential = self.agents.get(&agent).ok_or(ConnectRefused::UnknownAgent)?;
        if !password_matches(&credential.password_hash, attempt.password) {
            return Err(ConnectRefused::WrongPassword);
        }
        Ok(Admission { role: Role::Agent(agent), credential: credential.number })
    }

    fn joining(
        &self,
        agent: AgentId,
        attempt: &ConnectAttempt<'_>,
    ) -> Result<Admission, ConnectRefused> {
        // `join-a-1` may be a second agent's id, whose connection `a` must not end by joining.
        let taken =
            attempt.client_id.parse().is_ok_and(|id: AgentId| self.agents.contains_key(&id));
        if taken {
            return Err(ConnectRefused::ForeignClientId);
        }
        let join = self.join.as_ref().ok_or(ConnectRefused::JoinRefused)?;
        if !join.token.join_password(&agent).matches(attempt.password) {
            return Err(ConnectRefused::JoinRefused);
        }
        // Only one who holds the token is told.
        if self.revoked.contains(&agent) {
            return Err(ConnectRefused::Revoked);
        }
        Ok(Admission { role: Role::Joining(agent), credential: join.number })
    }
}

impl Gatekeeper for CredentialBook {
    fn connect(&self, attempt: &ConnectAttempt<'_>) -> Result<Admission, ConnectRefused> {
        if attempt.username.is_empty() || attempt.password.is_empty() {
            return Err(ConnectRefused::NoCredentials);
        }
        if attempt.username == CORE_USERNAME {
            if ![CORE_USERNAME, CORE_TOPICS_CLIENT_ID].contains(&attempt.client_id) {
                return Err(ConnectRefused::ForeignClientId);
            }
            if !self.core.matches(attempt.password) {
                return Err(ConnectRefused::WrongPassword);
            }
            return Ok(Admission { role: Role::Core, credential: FIXED_NUMBER });
        }
        let agent: AgentId = attempt.username.parse()?;
        if let Some(tail) = attempt.client_id.strip_prefix(PUBLISHER_PREFIX) {
            return self.publisher(agent, tail, attempt);
        }
        if attempt.client_id == agent.as_str() {
            self.read().agent(agent, attempt)
        } else if is_joining(attempt.client_id, &agent) {
            self.read().joining(agent, attempt)
        } else {
            Err(ConnectRefused::ForeignClientId)
        }
    }

    fn may_publish(&self, role: &Role, topic: &str) -> bool {
        match role {
            Role::Publisher(name) => self
                .publishers
                .get(name)
                .is_some_and(|own| own.topics.iter().any(|filter| filter.matches(topic))),
            _ => role.may_publish(topic),
        }
    }

    fn holds(&self, admission: &Admission) -> bool {
        let in_force = match &admission.role {
            Role::Core => Some(FIXED_NUMBER),
            Role::Publisher(name) => self.publishers.contains_key(name).then_some(FIXED_NUMBER),
            Role::Agent(agent) => self.read().agents.get(agent).map(|own| own.number),
            Role::Joining(_) => self.read().join.as_ref().map(|join| join.number),
        };
        in_force == Some(admission.credential)
    }
}

/// Whether a client id is `join-<agent>-<anything>`.
fn is_joining(client_id: &str, agent: &AgentId) -> bool {
    let tail = client_id.strip_prefix("join-").and_then(|rest| rest.strip_prefix(agent.as_str()));
    tail.and_then(|rest| rest.strip_prefix('-')).is_some_and(|anything| !anything.is_empty())
}

/// The hash that [`CredentialBook::set_agent`] takes, for the password of an agent.
#[must_use]
pub fn hash_of(password: &BrokerPassword) -> [u8; 32] {
    password_hash(password.expose().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::Publisher;
    use super::*;

    fn agent(id: &str) -> AgentId {
        id.parse().expect("an agent id")
    }

    fn token() -> JoinToken {
        JoinToken::from_text("a token of sixteen").expect("a token")
    }

    fn book() -> CredentialBook {
        let book = CredentialBook::new(Some(token()));
        book.set_agent(agent("a"), password_hash(b"secret a"));
        book.set_agent(agent("join-a-x"), password_hash(b"secret x"));
        book
    }

    fn connect(
        book: &CredentialBook,
        username: &str,
        password: &str,
        client_id: &str,
    ) -> Result<Admission, ConnectRefused> {
        book.connect(&ConnectAttempt { username, password: password.as_bytes(), client_id })
    }

    #[test]
    fn each_role_enters_with_its_own_password_and_client_id_only() {
        let book = book();
        let core = book.core_password().expose().to_owned();
        let join = token().join_password(&agent("a")).expose().to_owned();
        let role = |username, password, client_id| {
            connect(&book, username, password, client_id).map(|admission| admission.role)
        };
        assert_eq!(role("ambit-core", &core, "ambit-core"), Ok(Role::Core));
        assert_eq!(role("a", "secret a", "a"), Ok(Role::Agent(agent("a"))));
        assert_eq!(role("a", &join, "join-a-1"), Ok(Role::Joining(agent("a"))));

        use ConnectRefused::{
            ForeignClientId, JoinRefused, NoCredentials, UnknownAgent, WrongPassword,
        };
        for (username, password, client_id, refusal) in [
            ("ambit-core", "guess", "ambit-core", WrongPassword),
            ("ambit-core", &core, "a", ForeignClientId),
            ("a", &core, "a", WrongPassword),
            ("a", "secret x", "a", WrongPassword),
            ("a", &join, "a", WrongPassword),
            ("a", "secret a", "b", ForeignClientId),
            ("a", "secret a", "ambit-core", ForeignClientId),
            ("a", "secret a", "", ForeignClientId),
            ("a", "secret a", "join-a-1", JoinRefused),
            ("a", &join, "join-b-1", ForeignClientId),
            ("a", &join, "join-a-", ForeignClientId),
            ("a", &join, "join-a-x", ForeignClientId),
            ("b", &join, "join-b-1", JoinRefused),
            ("b", "secret a", "b", UnknownAgent),
            ("a", "", "a", NoCredentials),
            ("", "secret a", "", NoCredentials),
        ] {
            assert_eq!(role(username, password, client_id), Err(refusal), "{username} {client_id}");
        }
        let odd = connect(&book, "a/b", "secret a", "a/b");
        assert!(matches!(odd, Err(ConnectRefused::NotAnAgentId(_))), "{odd:?}");
    }

    #[test]
    fn a_publisher_is_told_by_its_client_id_and_is_never_an_agent() {
        let plc = Publisher {
            password_hash: password_hash(b"secret plc"),
            topics: vec!["factory/+/alarm".parse().expect("a filter")],
        };
        let book = book().with_publishers([(agent("a"), plc)].into());
        let role = |username, password, client_id| {
            connect(&book, username, password, client_id).map(|admission| admission.role)
        };
        let publisher = Role::Publisher(agent("a"));
        for client_id in ["publisher:a", "publisher:a:2"] {
            assert_eq!(role("a", "secret plc", client_id), Ok(publisher.clone()));
        }
        // An agent of the same name has its own password and its own client id.
        assert_eq!(role("a", "secret a", "a"), Ok(Role::Agent(agent("a"))));
        use ConnectRefused::{ForeignClientId, UnknownPublisher, WrongPassword};
        for (username, password, client_id, refusal) in [
            ("a", "secret a", "publisher:a", WrongPassword),
            ("a", "secret plc", "a", WrongPassword),
            ("a", "secret plc", "publisher:b", ForeignClientId),
            ("a", "secret plc", "publisher:", ForeignClientId),
            ("b", "secret plc", "publisher:b", UnknownPublisher),
        ] {
            assert_eq!(role(username, password, client_id), Err(refusal), "{client_id}");
        }
        let may = |topic| book.may_publish(&publisher, topic);
        assert!(may("factory/3/alarm") && !may("factory/3") && !may("ambit/v1/agents/a/up"));
        assert!(!publisher.may_subscribe("factory/+/alarm"));
        let admission = connect(&book, "a", "secret plc", "publisher:a").expect("admitted");
        assert!(book.holds(&admission));
    }

    #[test]
    fn a_replaced_or_withdrawn_credential_ends_the_admissions_it_gave() {
        let book = book();
        let old = connect(&book, "a", "secret a", "a").expect("admitted");
        book.set_agent(agent("a"), password_hash(b"secret a"));
        assert!(book.holds(&old), "the same credential again changes nothing");
        book.set_agent(agent("a"), password_hash(b"new secret"));
        assert!(!book.holds(&old));
        let new = connect(&book, "a", "new secret", "a").expect("admitted");
        assert!(book.holds(&new));
        assert!(book.remove_agent(&agent("a")) && !book.remove_agent(&agent("a")));
        assert!(!book.holds(&new));
        book.set_agent(agent("a"), password_hash(b"new secret"));
        assert!(!book.holds(&new), "a number is never given twice");
        assert_eq!(book.agents(), 2);
    }

    #[test]
    fn without_a_join_token_nobody_joins_and_joiners_lose_their_rights() {
        let book = book();
        let password = token().join_password(&agent("new")).expose().to_owned();
        let joining = connect(&book, "new", &password, "join-new-1").expect("admitted");
        assert!(book.holds(&joining));
        book.set_join_token(None);
        assert!(!book.holds(&joining));
        let refused = connect(&book, "new", &password, "join-new-1");
        assert_eq!(refused, Err(ConnectRefused::JoinRefused));
        assert!(connect(&book, "a", "secret a", "a").is_ok());
    }

    #[test]
    fn no_secret_is_printed() {
        let book = book();
        let printed = format!("{book:?}");
        assert!(!printed.contains(book.core_password().expose()) && !printed.contains("token of"));
    }
}

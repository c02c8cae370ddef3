//! One line after the other: connects, seals and opens, joins when there is no credential or the
//! broker no longer knows it, and tells the driver what happened.

use std::time::Duration;

use shared::backoff::delay_ms;
use shared::time::{Monotonic, Now};
use shared::wire::uplink::Gone;
use shared::wire::{Downlink, Uplink, decode, encode};
use shared_runtime::clock::Clock;
use shared_runtime::link::{
    Believed, LinkConfigError, LinkEvent, LinkEvents, LinkRefused, LinkSender, PublishError, Will,
};
use shared_runtime::seal::{JoinToken, Root, SealKey, open, seal};
use tokio::task::JoinHandle;

use super::dial::{Caller, Dial, down_topic, up_topic, will_topic};
use super::event::{LineError, LineEvent, Me};
use super::join::{Answer, Joining};
use crate::identity::CredentialFile;
use crate::observe;

/// The first wait before a broken connection is made anew, in milliseconds.
const RECONNECT_MS: u64 = 100;
/// The longest such wait, in milliseconds.
const RECONNECT_MS_MAX: u64 = 30_000;
/// How long to stay away after an operator revoked this agent, in milliseconds.
const REVOKED_MS: u64 = 5 * 60_000;
/// How long a connection must have been up for the next wait to be the first again, in
/// milliseconds.
const STEADY_MS: u64 = 30_000;
/// How long the broker may refuse one identity before the other is tried: the credential, if the
/// core forgot it, or the join token, if that is the one that no longer holds. In milliseconds,
/// unless [`Line::with_patience_ms`] says otherwise.
const PATIENCE_MS: u64 = 20_000;
/// How many times that long a connection may be up without a word of the core before the other
/// identity is tried: a core that was put back to a backup may not know the credential any more,
/// and an external broker would never say so. Less for the join token: a core that is down answers
/// nobody, and the credential is the one to wait with.
const UNANSWERED_TIMES: u64 = 15;
const JOIN_UNANSWERED_TIMES: u64 = 3;
/// An answer is given this long at least, in milliseconds.
const UNANSWERED_MS_MIN: u64 = 1_000;

/// As whom the line connects.
enum Role {
    Joining(Box<Joining>),
    Member(Root),
}

/// The present connection.
struct Open {
    sender: LinkSender,
    events: LinkEvents,
    /// Since when it is up, if it is.
    up_since: Option<Monotonic>,
    /// When the core was last heard on it, or it came up.
    heard: Option<Monotonic>,
}

/// What is waited for.
enum Waited {
    Link(Option<LinkEvent>),
    Time,
}

/// The line to the core.
pub struct Line {
    me: Me,
    dial: Dial,
    clock: Clock,
    file: CredentialFile,
    token: Option<JoinToken>,
    role: Role,
    open: Option<Open>,
    /// The end of the connection before, which is waited for before the next is made.
    closing: Option<JoinHandle<()>>,
    /// When to make the next connection.
    dial_at: Monotonic,
    failures: u32,
    /// Since when the broker refuses the present role.
    refused_since: Option<Monotonic>,
    patience_ms: u64,
    links: u64,
    /// Whether there is a credential to go back to.
    was_member: bool,
    /// A time that was believed, for certificates.
    believed: Option<Believed>,
}

impl Line {
    /// A line that connects at the first [`Line::next`].
    ///
    /// # Errors
    /// The credential cannot be read, or there is neither a credential nor a join token.
    pub fn new(
        me: Me,
        dial: Dial,
        file: CredentialFile,
        token: Option<JoinToken>,
    ) -> Result<Self, LineError> {
        let clock = Clock::new();
        let now = clock.now();
        let known = file.read()?;
        let was_member = known.is_some();
        let role = match (known, &token) {
            (Some(root), _) => Role::Member(root),
            (None, Some(token)) => {
                Role::Joining(Box::new(Joining::new(token, &me.agent, me.incarnation, now)))
            }
            (None, None) => return Err(LineError::NoCredential),
        };
        Ok(Self {
            me,
            dial,
            clock,
            file,
            token,
            role,
            open: None,
            closing: None,
            dial_at: now.mono,
            failures: 0,
            refused_since: None,
            patience_ms: PATIENCE_MS,
            links: 0,
            was_member,
            believed: None,
        })
    }

    /// The same with another patience: how long the broker may refuse one identity before the
    /// other is tried, in milliseconds.
    #[must_use]
    pub fn with_patience_ms(self, patience_ms: u64) -> Self {
        Self { patience_ms, ..self }
    }

    /// Takes note of a wall time that is believed, from now on instead of the one before.
    pub fn believe(&mut self, believed: Believed) {
        self.believed = Some(believed);
    }

    /// Waits for what happens next. Losing the race in a `select!` loses nothing.
    ///
    /// # Errors
    /// The configuration cannot work, whatever the broker does.
    pub async fn next(&mut self) -> Result<LineEvent, LinkConfigError> {
        loop {
            self.connect().await?;
            let waited = self.wait().await;
            let event = match waited {
                Waited::Link(event) => self.on_link(event),
                Waited::Time => self.on_silence(),
            };
            self.ask_to_join();
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// What has happened already, if anything has.
    pub fn try_next(&mut self) -> Option<LineEvent> {
        loop {
            let event = self.open.as_mut()?.events.try_recv()?;
            if let Some(event) = self.on_link(Some(event)) {
                return Some(event);
            }
            self.ask_to_join();
        }
    }

    /// Makes a connection, if there is none and it is time.
    async fn connect(&mut self) -> Result<(), LinkConfigError> {
        if self.open.is_some() {
            return Ok(());
        }
        if let Some(closing) = &mut self.closing {
            // Two connections of one client id would end each other.
            let _ = closing.await;
            self.closing = None;
        }
        let wait_ms = self.dial_at.since_ms(self.clock.now().mono);
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        let caller = self.caller();
        let (sender, events) = (self.dial)(caller)?;
        self.open = Some(Open { sender, events, up_since: None, heard: None });
        Ok(())
    }

    fn caller(&mut self) -> Caller {
        let username = self.me.agent.as_str().to_owned();
        let believed = self.believed;
        match &self.role {
            Role::Joining(joining) => Caller {
                client_id: joining.client_id(),
                username,
                password: joining.password.clone(),
                will: None,
                believed,
            },
            Role::Member(root) => {
                self.links += 1;
                let gone = Uplink::Gone(Gone {
                    incarnation: self.me.incarnation,
                    boot: self.me.boot,
                    session: self.me.session,
                    link: self.links,
                    orderly: false,
                });
                let topic = will_topic(&self.me.agent);
                let will = encode(&gone)
                    .ok()
                    .map(|body| Will { payload: seal(&root.seal_key(), &topic, &body), topic });
                let client_id = username.clone();
                let password = root.broker_password();
                Caller { client_id, username, password, will, believed }
            }
        }
    }

    async fn wait(&mut self) -> Waited {
        let ask_at = match &self.role {
            Role::Joining(joining) => joining.ask_at,
            Role::Member(_) => None,
        };
        let until = ask_at.into_iter().chain(self.unanswered_at()).min();
        let wait_ms = until.map(|at| at.since_ms(self.clock.now().mono));
        let Some(open) = &mut self.open else { return Waited::Time };
        match wait_ms {
            None => Waited::Link(open.events.recv().await),
            Some(wait_ms) => tokio::select! {
                event = open.events.recv() => Waited::Link(event),
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => Waited::Time,
            },
        }
    }

    /// When the present identity will have gone unanswered for too long, if there is another.
    fn unanswered_at(&self) -> Option<Monotonic> {
        let heard = self.open.as_ref()?.heard?;
        let times = match &self.role {
            Role::Member(_) => self.token.as_ref().map(|_| UNANSWERED_TIMES),
            Role::Joining(_) => self.was_member.then_some(JOIN_UNANSWERED_TIMES),
        };
        let wait_ms = times? * self.patience_ms;
        Some(heard + wait_ms.max(UNANSWERED_MS_MIN))
    }

    fn on_silence(&mut self) -> Option<LineEvent> {
        let now = self.clock.now();
        if self.unanswered_at().is_none_or(|at| at > now.mono) {
            return None;
        }
        observe::unanswered(matches!(self.role, Role::Member(_)));
        self.change_role(now);
        Some(LineEvent::Down { reason: "the core does not answer".to_owned() })
    }

    fn on_link(&mut self, event: Option<LinkEvent>) -> Option<LineEvent> {
        let now = self.clock.now();
        match event {
            Some(LinkEvent::Up) => self.on_up(now),
            Some(LinkEvent::Down { reason }) => {
                self.refused_since = None;
                self.on_down(reason.to_string(), now)
            }
            Some(LinkEvent::Refused { reason }) => self.on_refused(&reason, now),
            Some(LinkEvent::Message { topic, payload }) => self.on_message(&topic, &payload, now),
            Some(LinkEvent::Unsent { topic, reason }) => {
                observe::unsent(&topic, &reason);
                None
            }
            None => {
                self.hang_up(now);
                Some(LineEvent::Down { reason: "the link ended".to_owned() })
            }
        }
    }

    fn on_up(&mut self, now: Now) -> Option<LineEvent> {
        self.refused_since = None;
        if let Some(open) = &mut self.open {
            (open.up_since, open.heard) = (Some(now.mono), Some(now.mono));
        }
        match &mut self.role {
            Role::Joining(joining) => {
                joining.connected(now);
                None
            }
            Role::Member(_) => Some(LineEvent::Up { link: self.links }),
        }
    }

    fn on_down(&mut self, reason: String, now: Now) -> Option<LineEvent> {
        let was_up = self.open.as_ref().is_some_and(|open| open.up_since.is_some());
        if was_up {
            self.hang_up(now);
        }
        Some(LineEvent::Down { reason })
    }

    fn on_refused(&mut self, reason: &LinkRefused, now: Now) -> Option<LineEvent> {
        let text = self.explain(reason);
        if *reason == LinkRefused::Banned {
            observe::not_admitted(&text);
            self.hang_up(now);
            self.dial_at = now.mono + REVOKED_MS;
            return Some(LineEvent::Down { reason: text });
        }
        let credentials =
            matches!(reason, LinkRefused::BadCredentials | LinkRefused::NotAuthorised);
        if credentials && self.refused_since.is_none() {
            observe::not_admitted(&text);
        }
        let since = *self.refused_since.get_or_insert(now.mono);
        if credentials && now.mono.since_ms(since) >= self.patience_ms {
            self.change_role(now);
        } else if self.open.as_ref().is_some_and(|open| open.up_since.is_some()) {
            self.hang_up(now);
            // Another client that took our place will do so again.
            self.dial_at = self.dial_at.max(now.mono + RECONNECT_MS_MAX / 4);
        }
        Some(LineEvent::Down { reason: text })
    }

    /// What the broker's refusal means for this agent, and the way out.
    fn explain(&self, reason: &LinkRefused) -> String {
        let credentials =
            matches!(reason, LinkRefused::BadCredentials | LinkRefused::NotAuthorised);
        match (&self.role, credentials) {
            _ if *reason == LinkRefused::Banned => format!(
                "{reason}: an operator has revoked {}; ask one to readmit it, or stop this agent",
                self.me.agent
            ),
            (Role::Joining(_), true) => format!(
                "{reason}: the join token is not the core's; put the core's into join_token_file"
            ),
            (Role::Member(_), true) if self.token.is_none() => format!(
                "{reason}: the core may have forgotten this agent; give it a join token with --join-token-file to let it join again"
            ),
            (Role::Member(_), true) => {
                format!("{reason}: if that lasts, the agent joins again with its join token")
            }
            _ => reason.to_string(),
        }
    }

    /// Joins, if the credential is refused and there is a token; goes back to the credential, if
    /// it is the token that is refused.
    fn change_role(&mut self, now: Now) {
        let role = match &self.role {
            Role::Member(_) => self.token.as_ref().map(|token| {
                let joining = Joining::new(token, &self.me.agent, self.me.incarnation, now);
                Role::Joining(Box::new(joining))
            }),
            Role::Joining(_) => self.file.read().ok().flatten().map(Role::Member),
        };
        if let Some(role) = role {
            self.role = role;
            self.refused_since = None;
            self.hang_up(now);
        }
    }

    fn on_message(&mut self, topic: &str, payload: &[u8], now: Now) -> Option<LineEvent> {
        if topic != down_topic(&self.me.agent) {
            observe::not_for_us(topic);
            return None;
        }
        let message = match read(&self.key(), topic, payload) {
            Ok(message) => message,
            Err(reason) => {
                observe::unreadable(&reason);
                return None;
            }
        };
        if let Some(open) = &mut self.open {
            open.heard = Some(now.mono);
        }
        let Role::Joining(joining) = &mut self.role else {
            return Some(LineEvent::Message(Box::new(message)));
        };
        match joining.hear(message, now)? {
            Answer::Granted => self.on_joined(now),
            Answer::Refused(detail) => {
                observe::join_refused(&detail);
                Some(LineEvent::Down {
                    reason: format!("the core does not let this agent join: {detail}"),
                })
            }
        }
    }

    /// The core says that the credential holds: keep it before it is used.
    fn on_joined(&mut self, now: Now) -> Option<LineEvent> {
        let Role::Joining(joining) = &self.role else { return None };
        let root = joining.root.clone();
        if let Err(error) = self.file.write(&root) {
            // The core has it; the next request brings the same answer.
            observe::credential_not_kept(&error);
            return Some(LineEvent::Down { reason: error.to_string() });
        }
        observe::joined(&self.me.agent);
        self.role = Role::Member(root);
        self.was_member = true;
        self.hang_up(now);
        (self.failures, self.dial_at) = (0, now.mono);
        None
    }

    /// Ends the present connection. The next is made after a while that grows while connections
    /// do not last.
    fn hang_up(&mut self, now: Now) {
        let Some(open) = self.open.take() else { return };
        let steady = open.up_since.is_some_and(|since| now.mono.since_ms(since) >= STEADY_MS);
        self.failures = if steady { 1 } else { self.failures.saturating_add(1) };
        let wait_ms = delay_ms(self.failures, RECONNECT_MS, RECONNECT_MS_MAX, now.chance);
        self.dial_at = now.mono + wait_ms;
        self.closing = Some(tokio::spawn(async move { open.sender.shutdown().await }));
    }

    fn ask_to_join(&mut self) {
        let now = self.clock.now();
        if let Role::Joining(joining) = &mut self.role
            && let Some(request) = joining.ask(now)
        {
            if joining.is_unanswered() {
                observe::join_unanswered();
            }
            // If it is not taken, it is asked again.
            let _ = self.send(&request);
        }
    }

    fn key(&self) -> SealKey {
        match &self.role {
            Role::Joining(joining) => joining.key.clone(),
            Role::Member(root) => root.seal_key(),
        }
    }

    /// Seals a message and gives it to the link.
    ///
    /// # Errors
    /// The link does not take it.
    pub fn send(&self, message: &Uplink) -> Result<(), PublishError> {
        let Some(open) = &self.open else { return Err(PublishError::Down) };
        let body = encode(message).map_err(|_| PublishError::TooLarge { bytes: usize::MAX })?;
        let topic = up_topic(&self.me.agent);
        let payload = seal(&self.key(), &topic, &body);
        open.sender.try_publish(topic, payload)
    }

    /// How many more messages the link would take now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.sender.room())
    }

    /// Sends what is queued, says goodbye and ends.
    pub async fn close(mut self, flush: Duration) {
        if let Some(open) = self.open.take() {
            open.sender.shutdown_after_flush(flush).await;
        }
        if let Some(closing) = self.closing.take() {
            let _ = closing.await;
        }
    }
}

/// Opens a payload and reads what is in it.
pub(super) fn read(key: &SealKey, topic: &str, payload: &[u8]) -> Result<Downlink, String> {
    let body = open(key, topic, payload).map_err(|error| error.to_string())?;
    decode(body).map_err(|error| error.to_string())
}

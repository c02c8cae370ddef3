//! Many agents in one process: the real logic, each with a store in memory, a key of its own, and
//! processes that only say that they run. What they send goes to whoever carries it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_agent_logic::input::{Exit, ProcessEnd, ProcessEvent};
use edge_agent_logic::memory::MemoryStore;
use edge_agent_logic::{Agent, Effect, Input, Settings, Start};
use shared::capacity::Resources;
use shared::id::{AgentId, AssignmentId, Incarnation, Revision, Sequence};
use shared::report::Output;
use shared::time::{Monotonic, Timestamp};
use shared::wire::uplink::{Facts, Join, Reports};
use shared::wire::{Downlink, Topic, Uplink, decode, encode};
use shared_runtime::clock::{Clock, new_uuid_v4};
use shared_runtime::seal::{JoinToken, Nonce, SealKey, open, seal};

use crate::placement::fleet::{Dice, Spread, facts as facts_in, load};

/// The most reports in one message, as agents have it.
const ITEMS_MAX: usize = 200;
/// What a process leaves behind.
const OUTPUT: &str = "21.5 degrees, 40 % humidity, 1013 hPa; 21.6 degrees, 41 % humidity, 1013 hPa";

/// Where the two sides meet.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join("link")
}

/// What agents join with.
pub fn join_token() -> JoinToken {
    JoinToken::from_text(tests::builder::JOIN_TOKEN).expect("a token")
}

/// The id of an agent.
pub fn agent_id(at: usize) -> AgentId {
    format!("board-{at:05}").parse().expect("an agent's id")
}

/// Which agent an id is of.
pub fn index_of(id: &AgentId) -> Option<usize> {
    id.as_str().strip_prefix("board-")?.parse().ok()
}

/// What agents are.
#[derive(Debug)]
pub enum Kind {
    /// All alike; a process runs until it is told to end.
    Alike,
    /// Boards of several sizes in cities; of their processes every other one ends at once, the
    /// rest after [`RUN_MS`].
    Cities(Spread),
}

/// How long a process of the longer ones runs, in milliseconds.
pub const RUN_MS: u64 = 1_000;

/// What the agent of this number is in a fleet in cities, and what else is drawn for it.
pub fn in_cities(at: usize, spread: &Spread) -> (Facts, Dice) {
    let mut dice = Dice::new(at as u64);
    (facts_in(spread, &mut dice), dice)
}

/// What takes what an agent says: a topic and a payload.
pub type Out<'a> = &'a mut dyn FnMut(String, Vec<u8>);

/// What was said and heard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traffic {
    pub hellos: u64,
    pub reports_sent: u64,
    pub rows: u64,
    pub up: u64,
    pub down: u64,
}

/// One agent with all that is its own.
pub struct Board {
    id: AgentId,
    agent: Agent,
    store: MemoryStore,
    link: u64,
    /// What it is to be joined with, and then sealed with.
    key: SealKey,
    join_key: SealKey,
    nonce: Nonce,
    joined: bool,
    /// The last revision that it was told of.
    wanted: Revision,
    /// Processes that end by themselves, and when; `None` where they do not.
    ending: Option<VecDeque<(Monotonic, AssignmentId)>>,
    spawned: u64,
    pub traffic: Traffic,
}

impl Board {
    pub fn new(at: usize, kind: &Kind, token: &JoinToken, clock: &Clock) -> Self {
        let (id, nonce) = (agent_id(at), Nonce::fresh());
        let mut store = MemoryStore::new(Incarnation(new_uuid_v4()));
        let stored = store.begin_boot();
        let (facts, load, ending) = match kind {
            Kind::Alike => (facts(), None, None),
            Kind::Cities(spread) => {
                let (facts, mut dice) = in_cities(at, spread);
                (facts, Some(load(&mut dice)), Some(VecDeque::new()))
            }
        };
        let mut agent = Agent::restore(Start {
            stored,
            settings: Settings::default(),
            facts,
            board: 1,
            built_at: Timestamp(0),
            now: clock.now(),
        });
        if let Some(load) = load {
            let measured = Input::Measured { load, disk_full: false };
            store.commit(&agent.step(measured, clock.now()).changes);
        }
        Self {
            agent,
            store,
            link: 0,
            key: token.root(&id, &nonce).seal_key(),
            join_key: token.join_key(&id),
            nonce,
            joined: false,
            wanted: Revision(0),
            ending,
            spawned: 0,
            traffic: Traffic::default(),
            id,
        }
    }

    /// The link is up: join, or speak.
    pub fn link_up(&mut self, clock: &Clock, out: Out<'_>) {
        if self.joined {
            self.link += 1;
            return self.step(Input::LinkUp { link: self.link }, clock, out);
        }
        let incarnation = self.agent.incarnation();
        let join = Uplink::Join(Join { nonce: self.nonce.to_hex(), incarnation });
        self.send(&join, out);
    }

    /// A message came.
    pub fn hear(&mut self, topic: &str, payload: &[u8], clock: &Clock, out: Out<'_>) {
        let key = if self.joined { &self.key } else { &self.join_key };
        let message = open(key, topic, payload).ok().and_then(|body| decode(body).ok());
        let message: Downlink = message.expect("what the core says can be read");
        self.traffic.down += 1;
        match message {
            Downlink::Joined => {
                self.joined = true;
                self.link_up(clock, out);
            }
            message => {
                if let Downlink::Desired(desired) = &message {
                    self.wanted = self.wanted.max(desired.upto);
                    self.traffic.rows += desired.rows.len() as u64;
                }
                if let Downlink::Welcome(welcome) = &message {
                    self.wanted = self.wanted.max(welcome.desired_rev);
                }
                self.step(Input::Downlink(message), clock, out);
            }
        }
    }

    /// Steps, commits, acts; and again with what follows at once.
    pub fn step(&mut self, input: Input, clock: &Clock, out: Out<'_>) {
        let mut pending = VecDeque::from([input]);
        let now = clock.now().mono;
        let due = |ending: &mut VecDeque<(Monotonic, AssignmentId)>| {
            ending.pop_front_if(|(at, _)| *at <= now)
        };
        while let Some((_, assignment)) = self.ending.as_mut().and_then(due) {
            pending.push_back(ended(assignment, Exit::Code(0), RUN_MS));
        }
        while let Some(input) = pending.pop_front() {
            let outcome = self.agent.step(input, clock.now());
            self.store.commit(&outcome.changes);
            for effect in outcome.effects {
                match effect {
                    Effect::Send(message) => self.send(&message, out),
                    Effect::SendReports { after, upto } => self.send_reports(after, upto, out),
                    Effect::Spawn { assignment, .. } => {
                        let event = ProcessEvent::Started;
                        pending.push_back(Input::Process { assignment, event });
                        self.spawned += 1;
                        match &mut self.ending {
                            Some(_) if self.spawned.is_multiple_of(2) => {
                                pending.push_back(ended(assignment, Exit::Code(0), 0));
                            }
                            Some(ending) => ending.push_back((now + RUN_MS, assignment)),
                            None => {}
                        }
                    }
                    Effect::Terminate { assignment } | Effect::Kill { assignment } => {
                        pending.push_back(ended(assignment, Exit::Signal(15), LONG_MS));
                    }
                    _ => {}
                }
            }
        }
    }

    /// So many of its processes end well.
    pub fn end(&mut self, count: usize, clock: &Clock) {
        let running: Vec<AssignmentId> =
            self.agent.live().filter(|(_, state)| state.is_active()).map(|(id, _)| id).collect();
        for id in running.into_iter().take(count) {
            self.step(ended(id, Exit::Code(0), LONG_MS), clock, &mut |_, _| {});
        }
    }

    fn send(&mut self, message: &Uplink, out: Out<'_>) {
        let key = match message {
            Uplink::Join(_) => &self.join_key,
            _ => &self.key,
        };
        if let Uplink::Hello(_) = message {
            self.traffic.hellos += 1;
        }
        self.traffic.up += 1;
        let topic = Topic::Up(self.id.clone()).to_string();
        let payload = seal(key, &topic, &encode(message).expect("a message that fits"));
        out(topic, payload);
    }

    fn send_reports(&mut self, mut after: Sequence, upto: Sequence, out: Out<'_>) {
        while after < upto {
            let items = self.store.reports(after, upto, ITEMS_MAX);
            let last = items.last().map_or(upto, |item| item.seq);
            self.traffic.reports_sent += items.len() as u64;
            let (incarnation, session) = (self.agent.incarnation(), self.agent.session());
            let reports = Reports { incarnation, session, after, items, upto: last };
            self.send(&Uplink::Reports(reports), out);
            after = last;
        }
    }

    /// When it wants to be woken.
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        let ending = self.ending.as_ref().and_then(VecDeque::front).map(|(at, _)| *at);
        self.agent.next_wakeup().into_iter().chain(ending).min()
    }

    /// Whether the core knows it on this connection.
    pub fn is_met(&self) -> bool {
        self.agent.is_met()
    }

    /// Whether it has nothing to tell, and has done all that it was told.
    pub fn is_synced(&self) -> bool {
        self.is_met()
            && self.agent.reports_waiting() == 0
            && self.agent.applied_rev() >= self.wanted
    }

    /// How many of its tasks run.
    pub fn running(&self) -> usize {
        self.agent.live().filter(|(_, state)| state.is_active()).count()
    }

    /// How many reports it has to tell.
    pub fn reports_waiting(&self) -> usize {
        self.agent.reports_waiting()
    }
}

/// How long a process that does not end by itself has run, as it is told.
const LONG_MS: u64 = 60_000;

fn ended(assignment: AssignmentId, exit: Exit, ran_ms: u64) -> Input {
    let output = Output { stdout_tail: OUTPUT.to_owned(), ..Output::default() };
    let end = ProcessEnd { exit, started_at: None, ran_ms: Some(ran_ms), output };
    Input::Process { assignment, event: ProcessEvent::Ended(Box::new(end)) }
}

/// A small board.
fn facts() -> Facts {
    let labels = [("os", "linux"), ("arch", "aarch64"), ("sensor", "bme280")];
    Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        region: Some("au-south".to_owned()),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect(),
        arch: "aarch64".to_owned(),
        capacity: Resources {
            cpu_millis: 4_000,
            memory_mib: 4_096,
            disk_mib: 16_384,
            ..Resources::default()
        },
        tasks_max: 64,
        runtimes: vec!["exec".to_owned(), "noop".to_owned()],
        ..Facts::default()
    }
}

/// How long a thread waits when there is nothing to be woken for.
pub const IDLE: Duration = Duration::from_millis(500);

//! A data folder, a broker in memory, a core of a few lines, and agents that come and go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use edge_agent::app::{AppError, assemble};
use edge_agent::config::Config;
use edge_agent::link::{Caller, Dial};
use shared::capacity::Resources;
use shared::id::{AgentId, AssignmentId, Attempt, CoreId, Incarnation, Revision, Sequence, TaskId};
use shared::mailbox::{Admission, Inbox};
use shared::report::{Finish, ReportEvent};
use shared::spec::{Exec, Run};
use shared::time::Timestamp;
use shared::wire::downlink::{Desired, DesiredRow, LocalRetry, Order, Want, Welcome};
use shared::wire::uplink::{AttemptProgress, Gone, Hello, LogChunk, LogPiece, NumberedReport};
use shared::wire::{Downlink, Topic, Uplink, decode, encode};
use shared_runtime::clock::new_uuid_v4;
use shared_runtime::link::loopback::Hub;
use shared_runtime::link::{LinkEvent, LinkEvents, LinkRefused, LinkSender};
use shared_runtime::seal::{JoinToken, Nonce, Root, SealKey, open, seal};
use shared_runtime::shutdown::Shutdown;
use tokio::task::JoinHandle;

pub const BINARY: &str = env!("CARGO_BIN_EXE_ambit-agent");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The core that is played.
const CORE: CoreId = CoreId(uuid::Uuid::from_u128(5));

/// Far longer than anything here takes on any machine.
const LONG: Duration = Duration::from_secs(60);

pub fn agent_id() -> AgentId {
    "board-7".parse().expect("an agent id")
}

/// The world outside the agent.
pub struct Bench {
    pub root: tempfile::TempDir,
    pub hub: Hub,
    /// While set, connections of the agent break at once.
    pub cut_off: Arc<AtomicBool>,
    /// What stands in its configuration before and among the tables, beside what is always there.
    pub keys: String,
    pub tables: String,
    /// What stands in the table of limits.
    pub limits: String,
    pub core: Core,
}

/// What the core knows.
#[derive(Default)]
pub struct Memory {
    pub root: Option<Root>,
    pub joins: usize,
    pub hellos: Vec<Hello>,
    pub gone: Vec<Gone>,
    pub inbox: Option<Inbox>,
    pub reports: Vec<NumberedReport>,
    pub acknowledges: bool,
    pub welcomes: bool,
    pub logs: BTreeMap<AssignmentId, Log>,
    pub progress: Vec<AttemptProgress>,
    wanted: Vec<DesiredRow>,
    applied: u64,
    met: Option<Incarnation>,
}

/// The log of an attempt as a core has it.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub upto: u64,
    pub text: String,
    pub gaps: u64,
    pub complete: bool,
}

impl Log {
    /// Takes what is new, and answers how far it is.
    fn take(&mut self, chunk: LogChunk) -> u64 {
        let ends = chunk.pieces.windows(2).all(|pair| pair[0].end() == begin(&pair[1]));
        assert!(ends, "{chunk:?}");
        if chunk.pieces.first().is_some_and(|first| begin(first) > self.upto) {
            return self.upto;
        }
        for piece in chunk.pieces {
            if piece.end() <= self.upto {
                continue;
            }
            assert_eq!(begin(&piece), self.upto, "a piece was cut elsewhere than before");
            self.upto = piece.end();
            match piece {
                LogPiece::Text { text, .. } => self.text.push_str(&text),
                LogPiece::Gap { bytes, .. } => self.gaps += bytes,
            }
        }
        self.complete |= chunk.last;
        self.upto
    }
}

fn begin(piece: &LogPiece) -> u64 {
    let (LogPiece::Text { offset, .. } | LogPiece::Gap { offset, .. }) = piece;
    *offset
}

/// A core of a few lines: joins, welcomes, wants, acknowledges.
pub struct Core {
    memory: Arc<Mutex<Memory>>,
    sender: LinkSender,
}

impl Bench {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let token = root.path().join("token");
        shared_runtime::secret::write_secret_file(&token, TOKEN.as_bytes()).expect("token");
        let hub = Hub::new();
        let core = Core::start(&hub);
        let (keys, tables, limits) = Default::default();
        Self { root, hub, cut_off: Arc::default(), keys, tables, limits, core }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    pub fn config(&self) -> Config {
        let toml = format!(
            "id = 'board-7'\ndata = '{}'\njoin_token_file = '{}'\n{}\n[capacity]\ncpu_millis = 4000\n{}\n\
             [limits]\nresend_ms = 500\nhello_ms = 500\n{}\n",
            self.data().display(),
            self.path("token").display(),
            self.keys,
            self.tables,
            self.limits,
        );
        let file = self.path("edge.toml");
        std::fs::write(&file, toml).expect("write");
        let args =
            edge_agent::cli::RunArgs { config: Some(file), ..edge_agent::cli::RunArgs::default() };
        Config::of(&args).expect("config")
    }

    fn dial(&self) -> Dial {
        let (hub, cut_off) = (self.hub.clone(), Arc::clone(&self.cut_off));
        let memory = Arc::clone(&self.core.memory);
        Box::new(move |caller: Caller| {
            let topic = Topic::Down(agent_id()).to_string();
            let link = hub.link(&caller.client_id, vec![topic], caller.will);
            // The broker knows what the core knows.
            let known = memory.lock().expect("memory").root.as_ref().map(Root::broker_password);
            let joins = caller.client_id.starts_with("join-board-7-");
            if cut_off.load(Ordering::SeqCst) {
                hub.cut(&caller.client_id);
            } else if !joins && known.as_ref() != Some(&caller.password) {
                hub.refuse(&caller.client_id, LinkRefused::BadCredentials);
            }
            assert_eq!(caller.username, "board-7");
            Ok(link)
        })
    }

    /// Whether an agent could be made now.
    pub fn try_agent(&self) -> Result<(), AppError> {
        assemble(&self.config(), self.dial(), BINARY.as_ref()).map(drop)
    }

    /// Starts an agent. Aborting the task is a SIGKILL, as far as the agent can tell.
    pub fn agent(&self) -> (JoinHandle<()>, Shutdown) {
        let driver = assemble(&self.config(), self.dial(), BINARY.as_ref()).expect("an agent");
        let shutdown = Shutdown::new();
        let asked = shutdown.clone();
        let running = tokio::spawn(async move { driver.run(asked).await.expect("runs") });
        (running, shutdown)
    }

    pub fn cut(&self) {
        self.cut_off.store(true, Ordering::SeqCst);
        self.hub.cut("board-7");
    }

    pub fn mend(&self) {
        self.cut_off.store(false, Ordering::SeqCst);
        self.hub.restore("board-7");
    }
}

impl Core {
    fn start(hub: &Hub) -> Self {
        let (sender, events) = hub.link("core", Topic::core_filters().to_vec(), None);
        let memory = Memory { acknowledges: true, welcomes: true, ..Memory::default() };
        let memory = Arc::new(Mutex::new(memory));
        let core = Self { memory: Arc::clone(&memory), sender: sender.clone() };
        tokio::spawn(listen(memory, sender, events));
        core
    }

    pub fn see<R>(&self, look: impl FnOnce(&mut Memory) -> R) -> R {
        look(&mut self.memory.lock().expect("memory"))
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Memory) -> bool) {
        let begun = Instant::now();
        while !self.see(|memory| so(memory)) {
            assert!(begun.elapsed() < LONG, "{what} did not happen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Wants a shell command to run.
    pub async fn run(&self, script: &str) -> AssignmentId {
        self.run_with(script, |_| {}).await
    }

    /// The same with other conditions.
    pub async fn run_with(&self, script: &str, change: impl FnOnce(&mut Order)) -> AssignmentId {
        let task = TaskId(new_uuid_v4());
        let assignment = AssignmentId { task, attempt: Attempt(1) };
        let args = vec!["-c".to_owned(), script.to_owned()];
        let exec = Exec { command: "/bin/sh".to_owned(), args, ..Exec::default() };
        let mut order = Order {
            name: Some("probe".to_owned()),
            run: Run::Exec(exec),
            needs: Resources::default(),
            priority: 50,
            timeout_ms: None,
            grace_ms: 1_000,
            stop_after_ms: None,
            lease_ms: None,
            retry: LocalRetry::default(),
            firing: None,
            trace: None,
        };
        change(&mut order);
        self.see(|memory| memory.want(assignment, Want::Run(Arc::new(order))));
        self.push().await;
        assignment
    }

    pub async fn push(&self) {
        if let Some(message) = self.see(Memory::desired) {
            self.say(&message).await;
        }
    }

    pub async fn say(&self, message: &Downlink) {
        let key = self.see(|memory| memory.root.as_ref().map(Root::seal_key));
        if let Some(key) = key {
            speak(&self.sender, &key, message).await;
        }
    }

    pub async fn finish_of(&self, assignment: AssignmentId) -> Finish {
        self.until("the end", |memory| memory.finish_of(assignment).is_some()).await;
        self.see(|memory| memory.finish_of(assignment)).expect("finished")
    }

    pub async fn log_of(&self, assignment: AssignmentId) -> Log {
        let complete =
            |memory: &Memory| memory.logs.get(&assignment).is_some_and(|log| log.complete);
        self.until("the whole log", complete).await;
        self.see(|memory| memory.logs[&assignment].clone())
    }

    pub async fn started(&self, assignment: AssignmentId) {
        let so = |item: &NumberedReport| {
            item.report.assignment == assignment && item.report.event == ReportEvent::Started
        };
        self.until("the start", |memory| memory.reports.iter().any(so)).await;
    }
}

impl Memory {
    pub fn want(&mut self, assignment: AssignmentId, want: Want) {
        self.wanted.retain(|row| row.assignment != assignment);
        self.applied += 1;
        self.wanted.push(DesiredRow { rev: Revision(self.applied), assignment, want });
    }

    fn desired(&mut self) -> Option<Downlink> {
        let (base, upto) = (Revision(0), Revision(self.applied));
        let rows = self.wanted.clone();
        let incarnation = self.met?;
        Some(Downlink::Desired(Desired {
            core: CORE,
            incarnation,
            base,
            upto,
            rows,
            schedules: Vec::new(),
        }))
    }

    pub fn finish_of(&self, assignment: AssignmentId) -> Option<Finish> {
        self.reports.iter().find_map(|item| match &item.report.event {
            ReportEvent::Finished(finish) if item.report.assignment == assignment => {
                Some((**finish).clone())
            }
            _ => None,
        })
    }

    /// Takes a message and gives the answers, with the key that seals them.
    fn hear(&mut self, topic: &str, payload: &[u8]) -> Vec<(SealKey, Downlink)> {
        let token = JoinToken::from_text(TOKEN).expect("a token");
        let join_key = token.join_key(&agent_id());
        if let Ok(body) = open(&join_key, topic, payload) {
            let Ok(Uplink::Join(join)) = decode(body) else { panic!("not a join") };
            let nonce = Nonce::from_hex(&join.nonce).expect("a nonce");
            self.root = Some(token.root(&agent_id(), &nonce));
            self.joins += 1;
            return vec![(join_key, Downlink::Joined)];
        }
        let Some(key) = self.root.as_ref().map(Root::seal_key) else { return vec![] };
        let Ok(body) = open(&key, topic, payload) else { return vec![] };
        let answers = match decode(body).expect("a message") {
            Uplink::Hello(hello) => self.greet(*hello),
            Uplink::Reports(reports) => {
                let inbox = self
                    .inbox
                    .get_or_insert(Inbox { incarnation: reports.incarnation, acked: Sequence(0) });
                assert_eq!(inbox.incarnation, reports.incarnation);
                if let Admission::Above(held) = inbox.admit(reports.after) {
                    for item in reports.items.into_iter().filter(|item| item.seq > held) {
                        inbox.acked = item.seq;
                        self.reports.push(item);
                    }
                }
                let acked = Downlink::Acked {
                    core: CORE,
                    incarnation: inbox.incarnation,
                    seq: inbox.acked,
                };
                if self.acknowledges { vec![acked] } else { vec![] }
            }
            Uplink::Ping { nonce, .. } => {
                vec![Downlink::Pong { nonce, desired_rev: shared::id::Revision(0), lease: true }]
            }
            Uplink::Gone(gone) => {
                self.gone.push(gone);
                vec![]
            }
            Uplink::Heartbeat(_) | Uplink::Join(_) | Uplink::Inventory(_) => vec![],
            Uplink::Progress(news) => {
                self.progress.extend(news.items);
                vec![]
            }
            Uplink::Logs(chunk) => {
                let assignment = chunk.assignment;
                let upto = self.logs.entry(assignment).or_default().take(chunk);
                let acked = Downlink::LogsAcked { assignment, upto };
                if self.acknowledges { vec![acked] } else { vec![] }
            }
        };
        answers.into_iter().map(|answer| (key.clone(), answer)).collect()
    }

    fn greet(&mut self, hello: Hello) -> Vec<Downlink> {
        let (incarnation, session, beat) = (hello.incarnation, hello.session, hello.beat);
        self.hellos.push(hello);
        if !self.welcomes {
            return vec![];
        }
        self.met = Some(incarnation);
        let welcome = Downlink::Welcome(Welcome {
            core: CORE,
            incarnation,
            session,
            beat,
            reports_after_ms: 0,
            acked_seq: self.inbox.map_or(Sequence(0), |inbox| inbox.acked),
            desired_rev: Revision(self.applied),
            heartbeat_ms: 1_000,
            sent_at: Timestamp(0),
        });
        [Some(welcome), self.desired()].into_iter().flatten().collect()
    }
}

async fn listen(memory: Arc<Mutex<Memory>>, sender: LinkSender, mut events: LinkEvents) {
    while let Some(event) = events.recv().await {
        let LinkEvent::Message { topic, payload } = event else { continue };
        let answers = memory.lock().expect("memory").hear(&topic, &payload);
        for (key, answer) in answers {
            speak(&sender, &key, &answer).await;
        }
    }
}

async fn speak(sender: &LinkSender, key: &SealKey, message: &Downlink) {
    let topic = Topic::Down(agent_id()).to_string();
    let payload = seal(key, &topic, &encode(message).expect("encode"));
    sender.publish(topic, payload).await.expect("the core's link is up");
}

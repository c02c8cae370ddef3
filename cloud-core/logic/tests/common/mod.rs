//! A small world around the core's logic: a store that is a few maps, agents that are played by
//! the test, and a clock that moves when told.
#![allow(dead_code, missing_docs)]

mod maps;
pub mod residents;
pub mod schedules;

use std::collections::BTreeMap;
use std::sync::Arc;

use cloud_core_logic::change::TaskRow;
use cloud_core_logic::input::Operation;
use cloud_core_logic::placement::Policy;
use cloud_core_logic::{
    Answer, Cloud, Effect, Input, Outcome, ReplyTo, Settings, Stored, Submission,
};
use shared::geo::Position;
use shared::id::{
    AgentId, AssignmentId, Attempt, Boot, CoreId, Incarnation, Revision, ScheduleId, Sequence,
    Session, TaskId,
};
use shared::report::{End, Finish, Output, Report, ReportEvent};
use shared::schedule::OnlyUtc;
use shared::spec::{Run, TaskSpec};
use shared::task::TaskState;
use shared::time::{Monotonic, Now, Stamp, Timestamp};
use shared::trace::Trace;
use shared::wire::downlink::Desired;
use shared::wire::uplink::{
    Facts, Gone, Heartbeat, Held, HeldSchedule, Hello, InventoryPart, Load, NumberedReport, Reports,
};
use shared::wire::{Downlink, Uplink};
use uuid::Uuid;

pub use maps::Maps;

/// The core's identity.
pub const CORE: CoreId = CoreId(Uuid::from_u128(1));

/// An agent as the test plays it: the protocol, without any will of its own.
#[derive(Debug, Clone)]
pub struct Board {
    pub id: AgentId,
    pub incarnation: Incarnation,
    pub boot: Boot,
    pub session: Session,
    pub board: u32,
    pub link: u64,
    pub beat: u64,
    pub applied: Revision,
    pub seq: Sequence,
    pub acked: Sequence,
    pub outbox: Vec<NumberedReport>,
    pub facts: Facts,
    /// Whether it has lost what it held, by its own word.
    pub forgetful: bool,
    /// How many parts its inventory has; the hello brings the first.
    pub parts: u32,
    /// How long everything it holds has run, by its word.
    pub running_ms: Option<u64>,
    /// What it says it holds, if not what follows from what it applied.
    pub inventory: Option<Vec<Held>>,
    /// The resident schedules that it holds, with their tags.
    pub schedules: BTreeMap<ScheduleId, u32>,
    /// Whether it says so.
    pub silent_of_schedules: bool,
    /// Whose welcome it heard last.
    pub core: Option<CoreId>,
    /// The number of its last hello.
    pub hello: u64,
}

pub struct World {
    pub cloud: Cloud,
    pub maps: Maps,
    pub settings: Settings,
    pub wall: i64,
    pub mono: u64,
    pub replies: u64,
    pub ids: u128,
    /// The trace that tasks are submitted with.
    pub came_with: Option<Box<Trace>>,
    /// Every outcome, serialized, for comparing two runs byte by byte.
    pub trace: Vec<u8>,
}

pub fn settings() -> Settings {
    Settings { heartbeat_ms: 1_000, ..Settings::default() }
}

impl World {
    pub fn new() -> Self {
        Self::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        let now = Now { wall: Timestamp(1_000_000), mono: Monotonic(0), chance: 1 };
        let stored = Stored::empty(CORE);
        let mut world = Self {
            cloud: Cloud::restore(
                stored,
                settings.clone(),
                Policy::default(),
                Arc::new(OnlyUtc),
                now,
            ),
            maps: Maps::default(),
            settings,
            wall: 1_000_000,
            mono: 0,
            replies: 0,
            ids: 0,
            came_with: None,
            trace: Vec::new(),
        };
        world.step(Input::Broker { up: true });
        world
    }

    pub fn now(&self) -> Now {
        Now { wall: Timestamp(self.wall), mono: Monotonic(self.mono), chance: self.mono ^ 0x5eed }
    }

    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        let outcome = self.cloud.step(input, self.now());
        self.commit(outcome)
    }

    pub fn commit(&mut self, outcome: Outcome) -> Vec<Effect> {
        serde_json::to_writer(&mut self.trace, &outcome).expect("serialize");
        for change in &outcome.changes {
            self.maps.apply(change);
        }
        cloud_core_logic::invariant::check(&self.cloud).expect("invariants");
        outcome.effects
    }

    pub fn pass(&mut self, milliseconds: u64) -> Vec<Effect> {
        self.mono += milliseconds;
        self.wall += i64::try_from(milliseconds).expect("small");
        let mut effects = self.step(Input::Tick);
        while self.cloud.next_wakeup().is_some_and(|at| at <= Monotonic(self.mono)) {
            effects.extend(self.step(Input::Tick));
        }
        effects
    }

    /// The core is put back to what it was: a later time, an earlier store.
    pub fn put_back(&mut self, backup: Maps) {
        self.maps = backup;
        self.maps.restore_from_backup();
        self.restart();
    }

    /// The core is killed and started again from what was committed.
    pub fn restart(&mut self) {
        let stored = self.maps.stored();
        self.cloud = Cloud::restore(
            stored,
            self.settings.clone(),
            Policy::default(),
            Arc::new(OnlyUtc),
            self.now(),
        );
        cloud_core_logic::invariant::check(&self.cloud).expect("invariants after a restart");
        self.step(Input::Broker { up: true });
    }

    pub fn submit(&mut self, spec: TaskSpec) -> (TaskId, Vec<Effect>) {
        self.ids += 1;
        let id = TaskId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + self.ids));
        let effects = self.submit_as(id, spec, None);
        (id, effects)
    }

    pub fn submit_as(
        &mut self,
        id: TaskId,
        spec: TaskSpec,
        key: Option<cloud_core_logic::change::IdempotencyKey>,
    ) -> Vec<Effect> {
        let reply = self.reply();
        let submission =
            Submission { id, spec: Arc::new(spec), key, trace: self.came_with.clone(), reply };
        self.step(Input::Submit(Box::new(submission)))
    }

    pub fn reply(&mut self) -> ReplyTo {
        self.replies += 1;
        ReplyTo(self.replies)
    }

    pub fn cancel(&mut self, task: TaskId) -> Vec<Effect> {
        let reply = self.reply();
        self.step(Input::Cancel { task, reply })
    }

    pub fn operate(&mut self, agent: &Board, operation: Operation) -> Vec<Effect> {
        let reply = self.reply();
        self.step(Input::Operate { agent: agent.id.clone(), operation, reply })
    }

    pub fn say(&mut self, board: &Board, message: Uplink) -> Vec<Effect> {
        self.step(Input::Uplink { agent: board.id.clone(), message })
    }

    pub fn task(&self, id: TaskId) -> &TaskRow {
        &self.maps.tasks[&id]
    }

    pub fn state(&self, id: TaskId) -> &TaskState {
        &self.task(id).life.state
    }

    pub fn hello(&mut self, board: &mut Board) -> Vec<Effect> {
        board.link += 1;
        board.beat += 1;
        board.hello = board.beat;
        let message = Uplink::Hello(Box::new(Hello {
            incarnation: board.incarnation,
            boot: board.boot,
            session: board.session,
            link: board.link,
            beat: board.beat,
            facts: board.facts.clone(),
            core: None,
            applied_rev: board.applied,
            last_seq: board.seq,
            acked_seq: board.acked,
            inventory: InventoryPart {
                part: 0,
                parts: board.parts,
                holds: board.holds(&self.maps),
                schedules: (!board.silent_of_schedules).then(|| board.held_schedules()),
            },
            load: Load::default(),
            sent_at: Timestamp(self.wall),
            stamp: Stamp { board: board.board, trusted: true, ..Stamp::default() },
        }));
        self.say(board, message)
    }

    pub fn beat(&mut self, board: &mut Board) -> Vec<Effect> {
        board.beat += 1;
        let message = Uplink::Heartbeat(Heartbeat {
            incarnation: board.incarnation,
            boot: board.boot,
            session: board.session,
            link: board.link,
            beat: board.beat,
            core: board.core,
            hello: board.hello,
            load: Load::default(),
            rtt_ms: Some(5.0),
            position: None,
            applied_rev: board.applied,
            acked_seq: board.acked,
            held: 0,
            sent_at: Timestamp(self.wall),
            stamp: Stamp { trusted: true, ..Stamp::default() },
        });
        self.say(board, message)
    }

    pub fn gone(&mut self, board: &Board) -> Vec<Effect> {
        let gone = Gone {
            incarnation: board.incarnation,
            boot: board.boot,
            session: board.session,
            link: board.link,
            orderly: false,
        };
        self.say(board, Uplink::Gone(gone))
    }

    /// The board reports something and the core takes it at once.
    pub fn report(&mut self, board: &mut Board, assignment: AssignmentId, event: ReportEvent) {
        let message = board.queue(assignment, Timestamp(self.wall), event);
        let effects = self.say(board, message);
        for effect in effects {
            if let Effect::Send { message: Downlink::Acked { seq, .. }, .. } = effect {
                board.acked = board.acked.max(seq);
                board.outbox.retain(|item| item.seq > seq);
            }
        }
    }
}

impl Board {
    pub fn new(name: &str) -> Self {
        let facts = Facts {
            version: "0".to_owned(),
            position: Position::new(0.0, 0.0).ok(),
            region: None,
            arch: "aarch64".to_owned(),
            capacity: shared::capacity::Resources {
                cpu_millis: 4_000,
                memory_mib: 4_096,
                ..Default::default()
            },
            tasks_max: 8,
            runtimes: vec!["exec".to_owned(), "noop".to_owned()],
            ..Facts::default()
        };
        let number = name.bytes().fold(7_u128, |sum, byte| sum * 31 + u128::from(byte));
        Self {
            id: name.parse().expect("an id"),
            incarnation: Incarnation(Uuid::from_u128(number)),
            boot: Boot(1),
            session: Session(1),
            board: 1,
            link: 0,
            beat: 0,
            applied: Revision(0),
            seq: Sequence(0),
            acked: Sequence(0),
            outbox: Vec::new(),
            facts,
            forgetful: false,
            parts: 1,
            running_ms: None,
            schedules: BTreeMap::new(),
            silent_of_schedules: false,
            inventory: None,
            core: Some(CORE),
            hello: 0,
        }
    }

    /// What it holds: here, whatever the core wants of it and it has applied.
    fn holds(&self, maps: &Maps) -> Vec<Held> {
        if let Some(inventory) = &self.inventory {
            return inventory.clone();
        }
        let rows = maps.wanted.iter().filter(|((agent, _), row)| {
            !self.forgetful && *agent == self.id && row.rev <= self.applied
        });
        rows.map(|((_, assignment), _)| Held {
            assignment: *assignment,
            running_ms: self.running_ms,
        })
        .collect()
    }

    fn held_schedules(&self) -> Vec<HeldSchedule> {
        let held = |(&schedule, &tag)| HeldSchedule { schedule, tag };
        self.schedules.iter().map(held).collect()
    }

    pub fn queue(&mut self, assignment: AssignmentId, at: Timestamp, event: ReportEvent) -> Uplink {
        let stamp = Stamp { trusted: true, ..Stamp::default() };
        let report = Report { assignment, at, stamp, event };
        self.seq = self.seq.next();
        self.outbox.push(NumberedReport { seq: self.seq, report });
        Uplink::Reports(Reports {
            incarnation: self.incarnation,
            session: self.session,
            after: self.acked,
            items: self.outbox.clone(),
            upto: self.seq,
        })
    }

    /// Applies what was sent to it; says which rows were new.
    pub fn apply(&mut self, effects: &[Effect]) -> Vec<shared::wire::downlink::DesiredRow> {
        let mut rows = Vec::new();
        for desired in sent_to(effects, &self.id) {
            if self.applied >= desired.base {
                let new = desired.rows.iter().filter(|row| row.rev > self.applied);
                rows.extend(new.cloned());
                for row in desired.schedules.iter().filter(|row| row.rev > self.applied) {
                    match &row.hold {
                        Some(hold) => self.schedules.insert(row.schedule, hold.tag),
                        None => self.schedules.remove(&row.schedule),
                    };
                }
                self.applied = self.applied.max(desired.upto);
            }
        }
        rows
    }
}

pub fn sent_to<'a>(effects: &'a [Effect], id: &'a AgentId) -> impl Iterator<Item = &'a Desired> {
    effects.iter().filter_map(move |effect| match effect {
        Effect::Send { agent, message: Downlink::Desired(desired) } if agent == id => Some(desired),
        _ => None,
    })
}

pub fn answer(effects: &[Effect]) -> &Answer {
    let mut answers = effects.iter().filter_map(|effect| match effect {
        Effect::Answer { answer, .. } => Some(answer),
        _ => None,
    });
    answers.next().expect("an answer")
}

pub fn noop() -> TaskSpec {
    TaskSpec::new(Run::Noop {})
}

pub fn attempt(task: TaskId, number: u32) -> AssignmentId {
    AssignmentId { task, attempt: Attempt(number) }
}

pub fn finished(end: End) -> ReportEvent {
    ReportEvent::Finished(Box::new(Finish {
        end,
        started_at: None,
        ran_ms: None,
        output: Output::default(),
    }))
}

/// Whether a ping was answered with a lease.
pub fn leased(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| match effect {
        Effect::Send { message: Downlink::Pong { lease, .. }, .. } => *lease,
        _ => false,
    })
}

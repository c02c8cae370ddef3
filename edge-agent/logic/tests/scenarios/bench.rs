//! One agent on the bench: small words to drive it and to look at what it does.

use std::sync::Arc;

use edge_agent_logic::input::{Exit, ProcessEnd, ProcessEvent};
use edge_agent_logic::memory::MemoryStore;
use edge_agent_logic::{
    Agent, Change, Effect, Input, Notice, Outcome, Settings, Start, Stored, invariant,
};
use shared::capacity::Resources;
use shared::id::{
    AssignmentId, Attempt, CoreId, Incarnation, Revision, ScheduleId, Sequence, TaskId,
};
use shared::report::{Output, Report, ReportEvent, StopReason};
use shared::spec::{Exec, Run};
use shared::time::{Monotonic, Now, Timestamp};
use shared::wire::downlink::{
    Desired, DesiredRow, LocalRetry, Order, ResidentSchedule, ScheduleRow, Want, Welcome,
};
use shared::wire::uplink::Facts;
use shared::wire::{Downlink, Uplink};
use uuid::Uuid;

pub const INCARNATION: Incarnation = Incarnation(Uuid::from_u128(0xA));
pub const CORE: CoreId = CoreId(Uuid::from_u128(0xC));

pub fn id(task: u128, attempt: u32) -> AssignmentId {
    AssignmentId { task: TaskId(Uuid::from_u128(task)), attempt: Attempt(attempt) }
}

pub fn exec() -> Order {
    Order {
        name: Some("probe".to_owned()),
        run: Run::Exec(Exec { command: "true".to_owned(), ..Exec::default() }),
        needs: Resources { cpu_millis: 100, ..Resources::default() },
        priority: 50,
        timeout_ms: None,
        grace_ms: 1_000,
        stop_after_ms: None,
        lease_ms: None,
        retry: LocalRetry::default(),
        firing: None,
        trace: None,
    }
}

pub fn noop() -> Order {
    Order { run: Run::Noop {}, ..exec() }
}

pub fn exited(code: i32) -> ProcessEnd {
    ProcessEnd {
        exit: Exit::Code(code),
        started_at: Some(Timestamp(1)),
        ran_ms: None,
        output: Output::default(),
    }
}

pub fn facts() -> Facts {
    Facts {
        capacity: Resources { cpu_millis: 1_000, ..Resources::default() },
        tasks_max: 4,
        schedules_max: 3,
        runtimes: vec!["exec".to_owned(), "noop".to_owned()],
        ..Facts::default()
    }
}

/// When the program was made, in these tests.
pub const BUILT_AT: Timestamp = Timestamp(1_700_000_000_000);

pub fn now(mono_ms: u64, wall_ahead_ms: i64) -> Now {
    let wall = BUILT_AT.plus_ms(1_000_000 + wall_ahead_ms);
    let wall = wall.plus_ms(i64::try_from(mono_ms).expect("small"));
    Now { wall, mono: Monotonic(mono_ms), chance: 7 + mono_ms }
}

pub fn start(stored: Stored, settings: Settings, now: Now) -> Start {
    Start { stored, settings, facts: facts(), board: 9, built_at: BUILT_AT, now }
}

pub struct Bench {
    pub agent: Agent,
    pub store: MemoryStore,
    pub mono_ms: u64,
    /// How far the wall clock is wrong.
    pub wall_ahead_ms: i64,
    settings: Settings,
    rev: u64,
}

impl Bench {
    pub fn new(settings: Settings) -> Self {
        let mut store = MemoryStore::new(INCARNATION);
        let stored = store.begin_boot();
        let agent = Agent::restore(start(stored, settings.clone(), now(0, 0)));
        Self { agent, store, mono_ms: 0, wall_ahead_ms: 0, settings, rev: 0 }
    }

    /// One that the core knows already.
    pub fn met() -> Self {
        let mut bench = Self::new(Settings::default());
        bench.meet();
        bench
    }

    pub fn meet(&mut self) {
        self.step(Input::LinkUp { link: 1 });
        self.welcome(0);
    }

    /// What the core answers to a hello, by default.
    pub fn greeting(&self, acked: u64) -> Welcome {
        Welcome {
            core: CORE,
            incarnation: INCARNATION,
            session: self.agent.session(),
            beat: self.agent.beat(),
            reports_after_ms: 0,
            acked_seq: Sequence(acked),
            desired_rev: Revision(0),
            heartbeat_ms: 5_000,
            sent_at: now(self.mono_ms, 0).wall,
        }
    }

    pub fn welcome(&mut self, acked: u64) -> Outcome {
        self.hear(Downlink::Welcome(self.greeting(acked)))
    }

    pub fn now(&self) -> Now {
        now(self.mono_ms, self.wall_ahead_ms)
    }

    pub fn step(&mut self, input: Input) -> Outcome {
        let now = self.now();
        let outcome = self.agent.step(input, now);
        self.store.commit(&outcome.changes);
        invariant::check(&self.agent).expect("invariants");
        outcome
    }

    pub fn restart(&mut self) {
        let stored = self.store.begin_boot();
        self.agent = Agent::restore(start(stored, self.settings.clone(), self.now()));
        invariant::check(&self.agent).expect("invariants");
    }

    pub fn hear(&mut self, message: Downlink) -> Outcome {
        self.step(Input::Downlink(message))
    }

    pub fn tick_at(&mut self, mono_ms: u64) -> Outcome {
        self.mono_ms = mono_ms;
        self.step(Input::Tick)
    }

    /// The core wants a schedule to be held, or no more.
    pub fn schedule(&mut self, schedule: ScheduleId, hold: Option<ResidentSchedule>) -> Outcome {
        self.rev += 1;
        let (base, upto) = (Revision(self.rev - 1), Revision(self.rev));
        let hold = hold.map(Box::new);
        self.hear(Downlink::Desired(Desired {
            core: CORE,
            incarnation: INCARNATION,
            base,
            upto,
            rows: Vec::new(),
            schedules: vec![ScheduleRow { rev: upto, schedule, hold }],
        }))
    }

    pub fn want(&mut self, assignment: AssignmentId, want: Want) -> Outcome {
        self.rev += 1;
        let (base, upto) = (Revision(self.rev - 1), Revision(self.rev));
        let rows = vec![DesiredRow { rev: upto, assignment, want }];
        self.hear(Downlink::Desired(Desired {
            core: CORE,
            incarnation: INCARNATION,
            base,
            upto,
            rows,
            schedules: Vec::new(),
        }))
    }

    pub fn run(&mut self, assignment: AssignmentId, order: Order) -> Outcome {
        self.want(assignment, Want::Run(Arc::new(order)))
    }

    pub fn stop(&mut self, assignment: AssignmentId, reason: StopReason) -> Outcome {
        self.want(assignment, Want::Stop { reason })
    }

    pub fn process(&mut self, assignment: AssignmentId, event: ProcessEvent) -> Outcome {
        self.step(Input::Process { assignment, event })
    }

    pub fn started(&mut self, assignment: AssignmentId) -> Outcome {
        self.process(assignment, ProcessEvent::Started)
    }

    pub fn ended(&mut self, assignment: AssignmentId, end: ProcessEnd) -> Outcome {
        self.process(assignment, ProcessEvent::Ended(Box::new(end)))
    }
}

pub fn acked(seq: u64) -> Downlink {
    Downlink::Acked { core: CORE, incarnation: INCARNATION, seq: Sequence(seq) }
}

pub fn reports(outcome: &Outcome) -> Vec<&Report> {
    fn report(it: &Change) -> Option<&Report> {
        match it {
            Change::ReportAdded { report, .. } => Some(&**report),
            _ => None,
        }
    }
    outcome.changes.iter().filter_map(report).collect()
}

pub fn events(outcome: &Outcome) -> Vec<&ReportEvent> {
    reports(outcome).into_iter().map(|report| &report.event).collect()
}

pub fn sent(outcome: &Outcome) -> Vec<&Uplink> {
    fn message(it: &Effect) -> Option<&Uplink> {
        match it {
            Effect::Send(message) => Some(message),
            _ => None,
        }
    }
    outcome.effects.iter().filter_map(message).collect()
}

pub fn hellos(outcome: &Outcome) -> usize {
    sent(outcome).into_iter().filter(|message| matches!(message, Uplink::Hello(_))).count()
}

pub fn notices(outcome: &Outcome) -> Vec<&Notice> {
    fn notice(it: &Effect) -> Option<&Notice> {
        match it {
            Effect::Note(notice) => Some(notice),
            _ => None,
        }
    }
    outcome.effects.iter().filter_map(notice).collect()
}

/// Whether processes are asked for, told to end, or killed.
pub fn acts(outcome: &Outcome) -> Vec<String> {
    let act = |effect: &Effect| match effect {
        Effect::Spawn { assignment, .. } => Some(format!("spawn {}", assignment.attempt)),
        Effect::Terminate { assignment } => Some(format!("terminate {}", assignment.attempt)),
        Effect::Kill { assignment } => Some(format!("kill {}", assignment.attempt)),
        Effect::Forget { assignment } => Some(format!("forget {}", assignment.attempt)),
        Effect::SendReports { after, upto } => Some(format!("reports {after}..{upto}")),
        Effect::RenewLease { .. } | Effect::Send(_) | Effect::Note(_) => None,
    };
    outcome.effects.iter().filter_map(act).collect()
}

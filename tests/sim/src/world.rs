//! The simulated world: true time, the queue of what is to happen, and the parts that it happens
//! to. One thread, no clock, no chance but the seed's; so a seed is a whole run.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::{AssignmentId, CoreId, TaskId};
use shared::wire::uplink::Gone;

use crate::board::Board;
use crate::chance::Chance;
use crate::clients::Client;
use crate::core_node::CoreNode;
use crate::coverage::Coverage;
use crate::plan::Plan;

/// The wall time at which every world begins, milliseconds since 1970.
pub const EPOCH_MS: i64 = 1_800_000_000_000;
/// How long after the last fault everything must have come to its end.
pub const CALM_MS_MAX: u64 = 3_600_000;

/// Something that is to happen at a time.
#[derive(Debug)]
pub enum Event {
    CoreTurn { life: u64 },
    CoreWake { life: u64 },
    CoreStart,
    CoreLinkUp { life: u64 },
    AgentTurn { board: usize, life: u64 },
    AgentWake { board: usize, life: u64 },
    AgentStart { board: usize },
    Dial { board: usize, life: u64 },
    Join { board: usize, life: u64 },
    LineDead { board: usize, session: u64, only_if_cut: bool },
    Up { board: usize, bytes: Vec<u8> },
    Will { board: usize, gone: Gone },
    Down { board: usize, bytes: Vec<u8> },
    ProcessStart { board: usize, id: AssignmentId, token: u64 },
    ProcessEnd { board: usize, id: AssignmentId, token: u64, signal: Option<i32> },
    Heal { board: usize },
    DiskFree { board: usize },
    BrokerUp,
    CoreLinkHeal,
    Fault,
    Work,
    Client { index: usize },
    Calm,
    Look,
}

/// A simulated world.
pub struct World {
    pub plan: Plan,
    pub chance: Chance,
    pub now_ms: u64,
    pub coverage: Coverage,
    pub trace: Option<String>,
    pub core: CoreNode,
    pub boards: Vec<Board>,
    pub clients: Vec<Client>,
    pub broker_up: bool,
    pub core_link_held: bool,
    /// Whether faults still happen.
    pub chaos: bool,
    pub done: bool,
    /// Processes that run now, by task.
    pub running: BTreeMap<TaskId, BTreeSet<(usize, AssignmentId)>>,
    /// Every attempt of which a process was ever started.
    pub started: BTreeSet<AssignmentId>,
    /// Every attempt whose process returned 0.
    pub succeeded: BTreeSet<AssignmentId>,
    /// Every submission that a client was told is taken on.
    pub acknowledged: BTreeSet<TaskId>,
    pub calm_since_ms: u64,
    events: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
}

impl World {
    pub fn new(seed: u64, traced: bool) -> Self {
        let mut chance = Chance::new(seed);
        let plan = Plan::of(&mut chance);
        let core = CoreNode::new(CoreId(chance.uuid()));
        let mut world = Self {
            plan,
            chance,
            now_ms: 0,
            coverage: Coverage::default(),
            trace: traced.then(String::new),
            core,
            boards: Vec::new(),
            clients: Vec::new(),
            broker_up: true,
            core_link_held: false,
            chaos: true,
            done: false,
            running: BTreeMap::new(),
            started: BTreeSet::new(),
            succeeded: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            calm_since_ms: 0,
            events: BTreeMap::new(),
            scheduled: 0,
        };
        world.note(|world| format!("seed {seed}: {:?}", world.plan));
        world.furnish();
        world
    }

    fn furnish(&mut self) {
        for number in 0..self.plan.agents {
            let board = self.make_board(number);
            self.boards.push(board);
            // Most are there from the beginning, some join late.
            let late = self.chance.percent(30);
            let after_ms = if late { self.chance.below(self.plan.chaos_ms) } else { 10 };
            self.after(after_ms, Event::AgentStart { board: number });
        }
        self.after(1, Event::CoreStart);
        self.after(100, Event::Work);
        let first_ms = self.chance.between(1, self.plan.fault_every_ms);
        self.after(first_ms, Event::Fault);
        let chaos_ms = self.plan.chaos_ms;
        self.after(chaos_ms, Event::Calm);
    }

    /// Lets something happen after a time.
    pub fn after(&mut self, milliseconds: u64, event: Event) {
        self.at(self.now_ms.saturating_add(milliseconds), event);
    }

    /// Lets something happen at a time; one that has passed is now.
    pub fn at(&mut self, at_ms: u64, event: Event) {
        self.scheduled += 1;
        self.events.insert((at_ms.max(self.now_ms), self.scheduled), event);
    }

    /// A word for whoever reads the trace.
    pub fn note(&mut self, words: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>9} {}\n", self.now_ms, words(self));
            if let Some(trace) = &mut self.trace {
                trace.push_str(&line);
            }
        }
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When something does not hold that must.
    pub fn run(&mut self) {
        while !self.done {
            let ((at_ms, _), event) = self.events.pop_first().expect("something is to happen");
            self.now_ms = at_ms;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::CoreTurn { life } => self.core_turn_due(life),
            Event::CoreWake { life } => self.core_wakes(life),
            Event::CoreStart => self.start_core(),
            Event::CoreLinkUp { life } => self.core_link_comes_up(life),
            Event::AgentTurn { board, life } => self.agent_turn_due(board, life),
            Event::AgentWake { board, life } => self.agent_wakes(board, life),
            Event::AgentStart { board } => self.start_agent(board),
            Event::Dial { board, life } => self.dial(board, life),
            Event::Join { board, life } => self.ask_to_join(board, life),
            Event::LineDead { board, session, only_if_cut } => {
                self.line_dies(board, session, only_if_cut);
            }
            Event::Up { board, bytes } => self.arrive_up(board, &bytes),
            Event::Will { board, gone } => self.arrive_will(board, gone),
            Event::Down { board, bytes } => self.arrive_down(board, &bytes),
            Event::ProcessStart { board, id, token } => self.process_starts(board, id, token),
            Event::ProcessEnd { board, id, token, signal } => {
                self.process_ends(board, id, token, signal);
            }
            Event::Heal { board } => self.heal_line(board),
            Event::DiskFree { board } => self.disk_is(board, false),
            Event::BrokerUp => self.broker_comes_up(),
            Event::CoreLinkHeal => self.core_link_held = false,
            Event::Fault => self.next_fault(),
            Event::Work => self.new_work(),
            Event::Client { index } => self.client_asks(index),
            Event::Calm => self.calm_down(),
            Event::Look => self.look_whether_quiet(),
        }
    }
}

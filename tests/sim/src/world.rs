//! The simulated world: true time, the queue of what is to happen, and the parts that it happens
//! to. One thread, no clock, no chance but the seed's; so a seed is a whole run.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::{AgentId, AssignmentId, CoreId, Incarnation, Sequence, Session, TaskId};
use shared::time::Timestamp;

use crate::board::Board;
use crate::chance::{Chance, Stream};
use crate::clients::Client;
use crate::core_node::CoreNode;
use crate::coverage::Coverage;
use crate::event::{Agenda, Event};
use crate::plan::Plan;
use crate::residents::Arrivals;
use crate::trace::{Detail, Trace, Who};
use crate::watch::Watch;

/// The wall time at which most worlds begin, and none earlier, milliseconds since 1970.
pub const EPOCH_MS: i64 = 1_800_000_000_000;

/// A simulated world.
pub struct World {
    pub plan: Plan,
    /// The chance of everything that is not planned.
    pub chance: Chance,
    pub now_ms: u64,
    pub coverage: Coverage,
    pub trace: Option<Trace>,
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
    /// Every run of an attempt that was ever started, by the disk that it was started from.
    pub started: BTreeSet<(u64, AssignmentId, u32)>,
    /// Every attempt whose process returned 0.
    pub succeeded: BTreeSet<AssignmentId>,
    /// Tasks that never run twice at once.
    pub exclusive: BTreeSet<TaskId>,
    /// How far reports of each incarnation were ever taken.
    pub taken: BTreeMap<Incarnation, Sequence>,
    /// Which processes were let in with each incarnation, in their order.
    pub let_in: BTreeMap<Incarnation, Vec<Session>>,
    /// How many disks there ever were.
    pub disks: u64,
    /// Every submission that a client was told is taken on.
    pub acknowledged: BTreeSet<TaskId>,
    pub calm_since_ms: u64,
    /// The most tasks that were not settled since the faults stopped.
    pub work_left: usize,
    pub watch: Watch,
    pub arrivals: Arrivals,
    /// When the core last renewed the leases of each agent, in true time.
    pub leased_ms: BTreeMap<AgentId, u64>,
    agenda: Agenda,
}

impl World {
    pub fn new(plan: Plan, detail: Option<Detail>) -> Self {
        let mut chance = Chance::new(plan.seed, Stream::Run, plan.salt);
        let core = CoreNode::new(CoreId(chance.uuid()));
        let mut world = Self {
            chance,
            now_ms: 0,
            coverage: Coverage::default(),
            trace: detail.map(Trace::new),
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
            exclusive: BTreeSet::new(),
            taken: BTreeMap::new(),
            let_in: BTreeMap::new(),
            disks: 0,
            acknowledged: BTreeSet::new(),
            calm_since_ms: 0,
            work_left: 0,
            watch: Watch::default(),
            arrivals: Arrivals::default(),
            leased_ms: BTreeMap::new(),
            agenda: Agenda::default(),
            plan,
        };
        world.furnish();
        world
    }

    fn furnish(&mut self) {
        for number in 0..self.plan.agents {
            let board = self.make_board(number);
            self.boards.push(board);
            let on_at_ms = self.plan.boards[number].on_at_ms;
            self.after(on_at_ms, Event::AgentStart { board: number });
        }
        self.after(1, Event::CoreStart);
        for planned in 0..self.plan.faults.len() {
            self.at(self.plan.faults[planned].at_ms, Event::Fault { planned });
        }
        self.furnish_clients();
        self.furnish_keepers();
        self.after(self.plan.chaos_ms, Event::Calm);
    }

    /// What a right wall clock shows now.
    pub fn true_wall(&self) -> Timestamp {
        Timestamp(self.plan.epoch_ms).plus_ms(i64::try_from(self.now_ms).expect("a time"))
    }

    /// Lets something happen after a time.
    pub fn after(&mut self, milliseconds: u64, event: Event) {
        self.at(self.now_ms.saturating_add(milliseconds), event);
    }

    /// Lets something happen at a time; one that has passed is now.
    pub fn at(&mut self, at_ms: u64, event: Event) {
        self.agenda.put(at_ms.max(self.now_ms), event);
    }

    /// A word for whoever reads the trace.
    pub fn note(&mut self, who: Who, words: impl FnOnce(&Self) -> String) {
        self.tell(Detail::Story, who, words);
    }

    /// A word for whoever wants to know everything.
    pub fn detail(&mut self, who: Who, words: impl FnOnce(&Self) -> String) {
        self.tell(Detail::Everything, who, words);
    }

    fn tell(&mut self, detail: Detail, who: Who, words: impl FnOnce(&Self) -> String) {
        if self.trace.as_ref().is_some_and(|trace| trace.detail >= detail) {
            let words = words(self);
            let who = match who {
                Who::Board(at) => match self.boards.get(at).filter(|board| board.copy) {
                    Some(board) => Who::Copy(board.number),
                    None => who,
                },
                _ => who,
            };
            let at_ms = self.now_ms;
            if let Some(trace) = &mut self.trace {
                trace.line(at_ms, who, &words);
            }
        }
    }

    /// The number of an agent's first board.
    pub fn number_of(&self, agent: &AgentId) -> usize {
        self.boards.iter().position(|board| board.id == *agent).expect("a known agent")
    }

    /// Runs to the end.
    ///
    /// # Panics
    /// When something does not hold that must.
    pub fn run(&mut self) {
        while !self.done {
            let (at_ms, event) = self.agenda.next().expect("something is to happen");
            self.now_ms = at_ms;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::CoreTurn { life } => self.core_turn_due(life),
            Event::CoreWake { life } => self.core_wakes(life),
            Event::CoreCommit { life } => self.core_commits_again(life),
            Event::CoreStart => self.start_core(),
            Event::CoreLinkUp { life } => self.core_link_comes_up(life),
            Event::CoreLinkHeal => self.core_link_held = false,
            Event::AgentTurn { board, life } => self.agent_turn_due(board, life),
            Event::AgentWake { board, life } => self.agent_wakes(board, life),
            Event::AgentCommit { board, life } => self.agent_commits_again(board, life),
            Event::AgentMeasure { board, life } => self.measure(board, life),
            Event::AgentStart { board } => self.start_agent(board),
            Event::ClockSet { board, booted_ms } => self.set_clock(board, booted_ms),
            Event::Dial { board, life } => self.dial(board, life),
            Event::Join { board, life } => self.ask_to_join(board, life),
            Event::LookForAnswer { board, session } => self.look_for_answer(board, session),
            Event::LineDead { board, session, only_if_cut } => {
                self.line_dies(board, session, only_if_cut);
            }
            Event::Heal { board } => self.heal_line(board),
            Event::Up { board, seal, parcel } => self.arrive_up(board, seal, parcel),
            Event::Will { board, seal, gone } => self.arrive_will(board, seal, gone),
            Event::Down { agent, seal, parcel } => self.arrive_down(agent, seal, parcel),
            Event::DiskPutBack { board } => self.put_back_disk(board),
            Event::CoreRestore => self.restore_core(),
            Event::LeaseLook { board, id, token } => self.supervise(board, id, token),
            Event::ProcessStart { board, id, token } => self.process_starts(board, id, token),
            Event::Overdue { board, id, token, life } => {
                self.look_whether_overdue(board, id, token, life);
            }
            Event::ProcessWrites { board, id, token } => self.process_writes(board, id, token),
            Event::ProcessEnd { board, id, token, signal } => {
                self.process_ends(board, id, token, signal);
            }
            Event::BrokerUp => self.broker_comes_up(),
            Event::Fault { planned } => self.strike(planned),
            Event::Client { index } => self.client_asks(index),
            Event::Deed { schedule, deed, tries } => self.do_deed(schedule, deed, tries),
            Event::Calm => self.calm_down(),
            Event::Look => self.look_whether_quiet(),
        }
    }
}

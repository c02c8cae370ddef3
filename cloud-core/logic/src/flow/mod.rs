//! The ways of a task and of an agent through the core, one file each. Files here never import one
//! another: what one leaves to the next is an [`Event`], and `step` sequences them.

pub(crate) mod assign;
pub(crate) mod cancel;
pub(crate) mod dispatch;
pub(crate) mod fire;
pub(crate) mod greet;
pub(crate) mod happen;
pub(crate) mod listen;
pub(crate) mod lose;
pub(crate) mod operate;
pub(crate) mod place;
pub(crate) mod reconcile;
pub(crate) mod report;
pub(crate) mod reside;
pub(crate) mod schedule;
pub(crate) mod settle;
pub(crate) mod submit;

use std::collections::VecDeque;
use std::sync::Arc;

use shared::api::{Candidate, Together};
use shared::assignment::Ending;
use shared::geo::Position;
use shared::id::{AgentId, AssignmentId, TaskId};
use shared::report::StopReason;
use shared::schedule::AgentChange;
use shared::task::TaskStatus;
use shared::time::{Now, mix};

use crate::change::Change;
use crate::effect::{Answer, Effect, Notice, Outcome};
use crate::firing::Origin;
use crate::happening::Happening;
use crate::input::ReplyTo;
use crate::schedules::Slot;

/// What one flow leaves to another within a step.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// An agent was found for a task: assign.
    Chosen { task: TaskId, candidate: Box<Candidate>, together: Option<Box<Together>> },
    /// No agent may take a task now: place sets it aside.
    NoPlace { task: TaskId },
    /// A task's attempt has just ended: settle, or try again.
    AttemptEnded { task: TaskId },
    /// A task's attempt was given up and may come back: settle, or try again.
    AttemptStrayed { task: TaskId },
    /// An attempt that was given up has ended by itself: reconcile.
    StrayFinished { stray: AssignmentId, ending: Ending },
    /// What an agent holds may be known now: reconcile.
    Compare { agent: AgentId },
    /// An agent that is heard holds a copy that may have to stop: reconcile asks what it holds.
    AskForInventory { agent: AgentId },
    /// An agent has said hello: reconcile looks at what it holds.
    Greeted { agent: AgentId },
    /// A task's attempt is to be stopped: cancel.
    Stop { task: TaskId, reason: StopReason },
    /// A task's attempt is to be given up for good: lose.
    Lose { task: TaskId, detail: String, left: Left },
    /// A task is to be called off, because a schedule says so: cancel.
    CallOff { task: TaskId },
    /// A task is settled: those of its schedule that wait for it have their turn, and so have
    /// those that wait for its outcome.
    Settled { task: TaskId, status: TaskStatus, origin: Option<Box<Origin>> },
    /// An agent has changed in a way that schedules may wait for.
    Became { agent: AgentId, change: AgentChange, from: Option<Position> },
    /// What an agent is, or what is set on it, may decide which schedules it holds: reside.
    AgentChanged { agent: AgentId },
    /// A schedule is fired by an event.
    Fire { slot: Slot, payload: Option<Arc<str>> },
    /// An agent has just become inaudible: lose.
    FellSilent { agent: AgentId },
    /// An agent that could not be heard is heard again: lose takes back what it feared.
    HeardAgain { agent: AgentId },
}

/// What an attempt that is given up may have left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: its agent does not have it.
    Nothing,
    /// A copy that may run on an agent that will hear of it.
    Copy,
    /// A copy that may run on a board that nobody can tell: another has its name.
    Unreachable,
}

/// What a step works with beside the state: the moment, and what comes of it.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Now,
    pub(crate) outcome: Outcome,
    /// How many schedules were fired by events so far.
    pub(crate) events_fired: u32,
    events: VecDeque<Event>,
    happened: Vec<Happening>,
    draws: u64,
}

impl Context {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            now,
            outcome: Outcome::default(),
            events_fired: 0,
            events: VecDeque::new(),
            happened: Vec::new(),
            draws: 0,
        }
    }

    /// Fresh chance, different at every call.
    pub(crate) fn chance(&mut self) -> u64 {
        self.draws += 1;
        mix(self.now.chance, self.draws)
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.outcome.changes.push(change);
    }

    /// Tells those who follow events.
    pub(crate) fn tell(&mut self, happening: Happening) {
        self.happened.push(happening);
    }

    /// What came of the step.
    pub(crate) fn finish(mut self) -> Outcome {
        if !self.happened.is_empty() {
            let events = std::mem::take(&mut self.happened);
            self.change(Change::Happened { at: self.now.wall, events });
        }
        self.outcome
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.outcome.effects.push(effect);
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        self.outcome.notices.push(notice);
    }

    pub(crate) fn answer(&mut self, reply: ReplyTo, answer: Answer) {
        self.effect(Effect::Answer { reply, answer });
    }

    /// Leaves something to another flow.
    pub(crate) fn then(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Leaves something to another flow, before whatever was left before: nothing else may be
    /// decided about what it is about meanwhile.
    pub(crate) fn next(&mut self, event: Event) {
        self.events.push_front(event);
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

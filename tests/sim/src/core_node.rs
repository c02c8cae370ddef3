//! The simulated core: the real `Cloud`, its store, and the crash points of its driver. Nothing is
//! sent or answered before its batch is committed.

use cloud_core_logic::placement::Policy;
use cloud_core_logic::{Answer, Cloud, Effect, Input, invariant};
use shared::id::{CoreId, TaskId};
use shared::task::{Outcome, Verdict};
use shared::time::{Monotonic, Now, Timestamp};

use crate::maps::Maps;
use crate::world::{EPOCH_MS, Event, World};

/// What the core's monotonic clock shows when the world begins.
const UPTIME_MS: u64 = 7_000_000;

/// The core's machine.
pub struct CoreNode {
    pub cloud: Option<Cloud>,
    pub maps: Maps,
    pub inputs: Vec<Input>,
    pub turn_due: bool,
    pub wake_at: Option<u64>,
    pub life: u64,
    pub link_up: bool,
    pub wall_offset_ms: i64,
    /// How often it woke by itself at the moment of its last waking: a core that wakes without end
    /// at one moment spins.
    pub wakes: (u64, u32),
}

/// The most wakings at one moment. Each places some hundreds of tasks, of which a world has less.
const WAKES_MAX: u32 = 1_000;

impl CoreNode {
    pub fn new(id: CoreId) -> Self {
        Self {
            cloud: None,
            maps: Maps::new(id),
            inputs: Vec::new(),
            turn_due: false,
            wake_at: None,
            life: 0,
            link_up: false,
            wall_offset_ms: 0,
            wakes: (0, 0),
        }
    }
}

impl World {
    fn core_now(&mut self) -> Now {
        let true_wall = EPOCH_MS + i64::try_from(self.now_ms).expect("a time");
        Now {
            wall: Timestamp(true_wall + self.core.wall_offset_ms),
            mono: Monotonic(UPTIME_MS + self.now_ms),
            chance: self.chance.word(),
        }
    }

    pub fn start_core(&mut self) {
        if self.core.cloud.is_some() {
            return;
        }
        self.note(|_| "core starts".to_owned());
        let now = self.core_now();
        for task in &self.acknowledged {
            let kept = self.core.maps.tasks.contains_key(task);
            assert!(kept, "an_acknowledged_submission_is_kept: {task} is not in the store");
        }
        let stored = self.core.maps.stored();
        let cloud = Cloud::restore(stored, self.plan.core.clone(), Policy::default(), now);
        self.core.cloud = Some(cloud);
        self.check_core();
        let life = self.core.life;
        self.after(50, Event::CoreLinkUp { life });
        self.sleep_core();
    }

    pub fn crash_core(&mut self) {
        self.note(|_| "core dies".to_owned());
        self.core.cloud = None;
        self.core.inputs.clear();
        self.core.turn_due = false;
        self.core.wake_at = None;
        self.core.link_up = false;
        self.core.life += 1;
        let down_ms = if self.chance.percent(80) {
            self.chance.between(50, 3_000)
        } else {
            self.chance.between(3_000, 60_000)
        };
        self.after(down_ms, Event::CoreStart);
    }

    pub fn core_link_comes_up(&mut self, life: u64) {
        if self.core.life != life || self.core.cloud.is_none() || self.core.link_up {
            return;
        }
        if !self.broker_up || self.core_link_held {
            self.after(700, Event::CoreLinkUp { life });
            return;
        }
        self.core.link_up = true;
        self.tell_core(Input::Broker { up: true });
    }

    pub fn core_link_goes_down(&mut self) {
        if !self.core.link_up {
            return;
        }
        self.core.link_up = false;
        self.tell_core(Input::Broker { up: false });
        let life = self.core.life;
        self.after(500, Event::CoreLinkUp { life });
    }

    /// Puts an input into the core's queue, from which a whole batch is taken at once.
    pub fn tell_core(&mut self, input: Input) {
        if self.core.cloud.is_none() {
            return;
        }
        self.core.inputs.push(input);
        if !self.core.turn_due {
            self.core.turn_due = true;
            let (life, after_ms) = (self.core.life, self.chance.below(4));
            self.after(after_ms, Event::CoreTurn { life });
        }
    }

    pub fn core_turn_due(&mut self, life: u64) {
        if self.core.life == life && self.core.cloud.is_some() {
            self.core.turn_due = false;
            self.core_turn();
        }
    }

    pub fn core_wakes(&mut self, life: u64) {
        if self.core.life == life && self.core.wake_at == Some(self.now_ms) {
            self.core.wake_at = None;
            let (at_ms, times) = self.core.wakes;
            let times = if at_ms == self.now_ms { times + 1 } else { 1 };
            assert!(times <= WAKES_MAX, "the core wakes without end at {} ms", self.now_ms);
            self.core.wakes = (self.now_ms, times);
            self.core_turn();
        }
    }

    fn core_turn(&mut self) {
        let now = self.core_now();
        let inputs = std::mem::take(&mut self.core.inputs);
        let Some(cloud) = self.core.cloud.as_mut() else {
            return;
        };
        let outcome = cloud.step_batch(inputs, now);
        let crashes = self.chaos && self.chance.ppm(self.plan.core_crash_ppm);
        let point = if crashes { self.chance.below(3) } else { 3 };
        if point == 0 {
            self.coverage.count("core crash before commit");
            self.crash_core();
            return;
        }
        if self.trace.is_some() {
            for change in &outcome.changes {
                self.note(|_| format!("core writes {change:?}"));
            }
        }
        let outcomes = self.core.maps.commit(&outcome.changes, &mut self.coverage);
        for (task, settled) in outcomes {
            self.check_outcome(task, &settled);
        }
        self.check_core();
        let mut effects = outcome.effects;
        if point == 1 {
            self.coverage.count("core crash after commit");
            effects.clear();
        }
        if point == 2 {
            self.coverage.count("core crash among effects");
            effects.truncate(effects.len() / 2);
        }
        for effect in effects {
            self.core_acts(effect);
        }
        if crashes {
            self.crash_core();
        } else {
            self.sleep_core();
        }
    }

    fn sleep_core(&mut self) {
        let Some(at) = self.core.cloud.as_ref().and_then(Cloud::next_wakeup) else {
            return;
        };
        let at_ms = at.0.saturating_sub(UPTIME_MS).max(self.now_ms + 1);
        if self.core.wake_at != Some(at_ms) {
            self.core.wake_at = Some(at_ms);
            let life = self.core.life;
            self.at(at_ms, Event::CoreWake { life });
        }
    }

    fn core_acts(&mut self, effect: Effect) {
        match effect {
            Effect::Answer { reply, answer } => self.client_hears(reply, answer),
            Effect::Send { agent, message } | Effect::AnswerJoin { agent, message } => {
                let board = self.boards.iter().position(|board| board.id == agent);
                self.send_down(board.expect("a known agent"), &message);
            }
        }
    }

    fn check_core(&self) {
        let Some(cloud) = &self.core.cloud else {
            return;
        };
        invariant::check(cloud).unwrap_or_else(|violation| panic!("{violation}"));
        let mut reserved = self.core.maps.reserved();
        for agent in cloud.fleet().iter() {
            let rows = reserved.remove(&agent.id).unwrap_or_default();
            let id = &agent.id;
            assert_eq!(agent.used, rows, "what_is_used_is_what_the_rows_reserve: {id}");
        }
        assert!(reserved.is_empty(), "what_is_used_is_what_the_rows_reserve: {reserved:?}");
    }

    fn check_outcome(&mut self, task: TaskId, outcome: &Outcome) {
        self.note(|_| format!("core settles {task}: {:?}", outcome.verdict));
        if outcome.verdict != Verdict::Succeeded {
            return;
        }
        let attempt = outcome.attempt.expect("an attempt that succeeded");
        let id = shared::id::AssignmentId { task, attempt };
        let noop = self.core.maps.tasks[&task].spec.run.kind() == "noop";
        assert!(noop || self.succeeded.contains(&id), "a_success_was_one: {id} never returned 0");
    }

    /// What a client makes of an answer.
    fn client_hears(&mut self, reply: cloud_core_logic::ReplyTo, answer: Answer) {
        let client = usize::try_from(reply.0).ok().and_then(|at| self.clients.get_mut(at));
        let (Some(client), again) = (client, self.now_ms + 5_000) else {
            return;
        };
        match answer {
            Answer::Submitted(document) => {
                client.task = Some(document.summary.id);
                self.acknowledged.insert(document.summary.id);
            }
            Answer::Repeated(task) => {
                // Not committed by this batch, but by one before it.
                assert!(self.core.maps.tasks.contains_key(&task), "a repeat of nothing: {task}");
                client.task = Some(task);
                self.acknowledged.insert(task);
                self.coverage.count("submission repeated");
            }
            Answer::QueueFull { .. } => {
                client.asks_again_ms = again;
                self.coverage.count("queue full");
            }
            Answer::KeyReused(task) => panic!("a key of ours was used for {task}"),
            Answer::Canceling(_) | Answer::NotLive(_) | Answer::Agent(_) => {}
            Answer::UnknownAgent(_) => self.coverage.count("unknown agent"),
        }
    }
}

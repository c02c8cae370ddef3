//! The simulated core: the real `Cloud`, its store, and the crash points of its driver. Nothing is
//! sent or answered before its batch is committed.

use std::sync::Arc;

use cloud_core_logic::effect::Notice;
use cloud_core_logic::placement::Policy;
use cloud_core_logic::{Change, Cloud, Effect, Input, invariant};
use shared::id::CoreId;
use shared::time::{Monotonic, Now, Timestamp};
use shared::wire::Downlink;

use crate::coverage::Kind;
use crate::describe;
use crate::event::Event;
use crate::failure::{ensure, fail};
use crate::maps::Maps;
use crate::planted::planted;
use crate::script::{Armed, CrashPoint};
use crate::trace::Who;
use crate::world::World;
use crate::zones;

/// What the core's monotonic clock shows when the world begins.
const UPTIME_MS: u64 = 7_000_000;
/// The first wait before a failed commit is tried again, and the longest, in milliseconds.
const COMMIT_RETRY_MS: (u64, u64) = (50, 5_000);
/// The most wakings at one moment. Each places some hundreds of tasks, of which a world has less.
const WAKES_MAX: u32 = 1_000;

/// A batch that was decided and is not on disk.
#[derive(Debug)]
pub struct Batch {
    changes: Vec<Change>,
    effects: Vec<Effect>,
    crash: Option<Armed>,
    since_ms: u64,
    /// What the wall clock showed when it was decided.
    wall: Timestamp,
    /// The wait before the next try.
    wait_ms: u64,
}

/// The core's machine.
pub struct CoreNode {
    pub cloud: Option<Cloud>,
    pub maps: Maps,
    pub backup: Option<Maps>,
    pub inputs: Vec<Input>,
    pub stuck: Option<Batch>,
    pub armed: Option<Armed>,
    pub disk_full_until_ms: u64,
    pub turn_due: bool,
    pub wake_at: Option<u64>,
    pub life: u64,
    pub link_up: bool,
    pub wall_offset_ms: i64,
    /// How often it woke by itself at the moment of its last waking: a core that wakes without end
    /// at one moment spins.
    pub wakes: (u64, u32),
}

impl CoreNode {
    pub fn new(id: CoreId) -> Self {
        Self {
            cloud: None,
            maps: Maps::new(id),
            backup: None,
            inputs: Vec::new(),
            stuck: None,
            armed: None,
            disk_full_until_ms: 0,
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
        Now {
            wall: self.true_wall().plus_ms(self.core.wall_offset_ms),
            mono: Monotonic(UPTIME_MS + self.now_ms),
            chance: self.chance.word(),
        }
    }

    pub fn start_core(&mut self) {
        if self.core.cloud.is_some() {
            return;
        }
        self.note(Who::Core, |_| "starts".to_owned());
        let now = self.core_now();
        for task in &self.acknowledged {
            let kept = self.core.maps.known(*task).is_some();
            ensure(kept, "an_acknowledged_submission_is_kept", || describe::task(*task));
        }
        self.core.maps.account.rest();
        let stored = self.core.maps.stored();
        let cloud = Cloud::restore(
            stored,
            self.plan.core.clone(),
            Policy::default(),
            Arc::new(zones::Bundled),
            now,
        );
        self.core.cloud = Some(cloud);
        self.check_core(true);
        let life = self.core.life;
        self.after(50, Event::CoreLinkUp { life });
        self.sleep_core();
    }

    pub fn crash_core(&mut self) {
        self.note(Who::Core, |_| "dies".to_owned());
        self.core.cloud = None;
        self.core.inputs.clear();
        self.core.stuck = None;
        self.core.turn_due = false;
        self.core.wake_at = None;
        self.core.link_up = false;
        self.core.life += 1;
        let down_ms = self.chance.spread(50, 60_000);
        self.after(down_ms, Event::CoreStart);
    }

    /// The core is put back to a backup that was taken a while ago.
    pub fn restore_core(&mut self) {
        let id = CoreId(self.chance.uuid());
        let Some(backup) = self.core.backup.take().filter(|_| self.chaos) else {
            return;
        };
        self.crash_core();
        self.note(Who::Core, |_| "is put back to a backup".to_owned());
        self.watch_restored(&backup);
        self.watch_restored_firings(&backup);
        self.core.maps = backup.restored(id);
        // Whom it let in since then it does not know. In a fleet that was full, agents that it
        // remembers might find no place any more.
        self.let_in.clear();
        self.plan.core.agents_max = 1_000;
        // What was submitted since then is lost, and whoever waits for it has to ask again.
        let Self { core, acknowledged, .. } = self;
        acknowledged.retain(|task| core.maps.known(*task).is_some());
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
        self.let_core_turn();
    }

    /// Asks the core something. One that cannot write its store refuses at once.
    pub fn ask_core(&mut self, input: Input) {
        if self.core.stuck.is_none() {
            self.tell_core(input);
        }
    }

    fn let_core_turn(&mut self) {
        if !self.core.turn_due && self.core.stuck.is_none() {
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
            ensure(times <= WAKES_MAX, "the_core_does_not_wake_without_end", String::new);
            self.core.wakes = (self.now_ms, times);
            self.core_turn();
        }
    }

    fn core_turn(&mut self) {
        let now = self.core_now();
        if self.core.stuck.is_some() {
            return;
        }
        let inputs = std::mem::take(&mut self.core.inputs);
        let Some(cloud) = self.core.cloud.as_mut() else {
            return;
        };
        let outcome = cloud.step_batch(inputs, now);
        let together = |notice: &&Notice| matches!(notice, Notice::Assigned { .. });
        for _ in outcome.notices.iter().filter(together) {
            self.coverage.count(Kind::PlacedTogether);
        }
        let (changes, effects) = (outcome.changes, outcome.effects);
        let armed = &mut self.core.armed;
        let crash = if changes.is_empty() { None } else { Armed::pass(armed) };
        let fires = |change: &Change| matches!(change, Change::FiringPut(_));
        if crash.is_some() && changes.iter().any(fires) {
            self.coverage.count(Kind::CoreCrashWithFiring);
        }
        if crash.is_some_and(|crash| crash.point == CrashPoint::BeforeCommit) {
            self.coverage.count(Kind::CoreCrashBeforeCommit);
            if planted!(AckBeforeCommit) {
                effects.into_iter().for_each(|effect| self.core_acts(effect));
            }
            self.crash_core();
            return;
        }
        let (since_ms, wait_ms) = (self.now_ms, COMMIT_RETRY_MS.0);
        let wall = now.wall;
        self.core_commits(Batch { changes, effects, crash, since_ms, wall, wait_ms });
    }

    pub fn core_commits_again(&mut self, life: u64) {
        if self.core.life == life
            && let Some(batch) = self.core.stuck.take()
        {
            self.core_commits(batch);
        }
    }

    /// Commits, and does what follows; on a full disk the same batch is tried again and nothing
    /// new is taken.
    fn core_commits(&mut self, mut batch: Batch) {
        if self.now_ms < self.core.disk_full_until_ms && !batch.changes.is_empty() {
            self.coverage.count(Kind::CoreCommitFailed);
            let (life, wait_ms) = (self.core.life, batch.wait_ms);
            batch.wait_ms = (wait_ms * 2).min(COMMIT_RETRY_MS.1);
            self.core.stuck = Some(batch);
            self.core.maps.account.rest();
            self.note(Who::Core, |_| "cannot commit: its disk is full".to_owned());
            self.after(wait_ms, Event::CoreCommit { life });
            return;
        }
        let Batch { changes, mut effects, crash, since_ms, wall, .. } = batch;
        self.tell_changes(&changes);
        for change in &changes {
            if let Change::InboxMoved { inbox, .. } = change {
                let taken = self.taken.entry(inbox.incarnation).or_default();
                *taken = (*taken).max(inbox.acked);
            }
        }
        let outcomes = self.core.maps.commit(&changes, wall, &mut self.coverage);
        for (task, settled) in outcomes {
            self.check_outcome(task, &settled);
        }
        let turn_ms = 1_000 / self.plan.core.catch_up_per_second.max(1);
        self.core.maps.account.look(wall, self.now_ms, turn_ms);
        self.watch_core(&changes);
        self.watch_arrivals(&changes, wall);
        self.check_core(!changes.is_empty());
        match crash.map(|crash| crash.point) {
            Some(CrashPoint::AfterCommit) => {
                self.coverage.count(Kind::CoreCrashAfterCommit);
                effects.clear();
            }
            Some(_) => {
                self.coverage.count(Kind::CoreCrashAmongEffects);
                effects.truncate(self.chance.index(effects.len() + 1));
            }
            None => {}
        }
        for effect in effects {
            self.core_acts(effect);
        }
        if crash.is_some() {
            self.crash_core();
            return;
        }
        if self.now_ms - since_ms > self.plan.core.heartbeat_ms {
            // It was deaf for so long that silence says nothing.
            let up = self.core.link_up;
            self.core.inputs.insert(0, Input::Broker { up });
        }
        if !self.core.inputs.is_empty() {
            self.let_core_turn();
        }
        self.sleep_core();
    }

    fn tell_changes(&mut self, changes: &[Change]) {
        if self.trace.is_none() {
            return;
        }
        for change in changes {
            if let Change::TaskMoved { task, life } = change {
                let on = life.agent.as_ref().map_or(String::new(), |agent| format!(" on {agent}"));
                let state = describe::state(&life.state);
                self.note(Who::Core, |_| format!("{} {state}{on}", describe::task(*task)));
            }
            self.detail(Who::Core, |_| format!("writes {change:?}"));
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
                if let Downlink::Welcome(welcome) = &message {
                    self.check_welcome(&agent, welcome);
                }
                if let Downlink::Pong { lease: true, .. } = &message {
                    self.leased_ms.insert(agent.clone(), self.now_ms);
                }
                let number = self.number_of(&agent);
                self.send_down(number, message);
            }
        }
    }

    /// The named invariants of the core, and what it has in memory against what its rows say.
    fn check_core(&self, rows_changed: bool) {
        let Some(cloud) = &self.core.cloud else {
            return;
        };
        if let Err(violation) = invariant::check(cloud) {
            fail(violation.statement, violation.detail);
        }
        if !rows_changed {
            return;
        }
        let name = "what_is_used_is_what_the_rows_reserve";
        let mut reserved = self.core.maps.reserved();
        for agent in cloud.fleet().iter() {
            let rows = reserved.remove(&agent.id).unwrap_or_default();
            ensure(agent.used == rows, name, || {
                format!("{} uses {:?}, by its rows {rows:?}", agent.id, agent.used)
            });
        }
        ensure(reserved.is_empty(), name, || format!("{reserved:?} is used of nobody"));
    }
}

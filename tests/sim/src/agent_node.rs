//! The simulated agent's driver: the real `Agent`, its store, its crash points, and its recovery
//! after a restart. Nothing is sent or started before its batch is committed.

use edge_agent_logic::input::Found;
use edge_agent_logic::{Agent, Effect, Input, Start, invariant};
use shared::backoff::delay_ms;
use shared::id::{AssignmentId, Incarnation, Sequence};
use shared::time::Timestamp;
use shared::wire::Uplink;
use shared::wire::uplink::{Load, Reports};

use crate::board::{Batch, Board, Disk, Process};
use crate::coverage::{Kind, notice_kind};
use crate::describe;
use crate::event::Event;
use crate::failure::{ensure, fail};
use crate::script::{Armed, CrashPoint};
use crate::trace::Who;
use crate::world::{EPOCH_MS, World};

/// The first wait before a failed commit is tried again, and the longest, in milliseconds.
const COMMIT_RETRY_MS: (u64, u64) = (200, 5_000);
/// How long the disk counts as full after a failed commit, in milliseconds.
const COMMIT_FAILED_MS: u64 = 30_000;
/// How often the real driver measures, in milliseconds.
const MEASURE_MS: u64 = 5_000;

impl World {
    pub fn make_board(&mut self, number: usize) -> Board {
        let planned = &self.plan.boards[number];
        let incarnation = Incarnation(self.chance.uuid());
        let mut board = Board::new(number, planned.facts.clone(), incarnation);
        board.drift_ppm = planned.drift_ppm;
        board.has_clock = planned.has_clock;
        if planned.on_at_ms > MEASURE_MS {
            self.coverage.count(Kind::JoinedLate);
        }
        board
    }

    /// The agent's process starts, and first finds out what became of what ran before it.
    pub fn start_agent(&mut self, at: usize) {
        if self.boards[at].agent.is_some() {
            return;
        }
        self.power_up(at);
        let chance = self.chance.word();
        let settings = self.plan.agent.clone();
        let now_ms = self.now_ms;
        let board = &mut self.boards[at];
        board.line.link = 0;
        let stored = board.disk.store.begin_boot();
        let boot = stored.boot;
        let now = board.now(now_ms, chance);
        let facts = board.facts.clone();
        let kernel = u32::try_from(board.booted_ms).expect("a start of the kernel");
        let start =
            Start { stored, settings, facts, board: kernel, built_at: Timestamp(EPOCH_MS), now };
        let agent = Agent::restore(start);
        // What is left of runs that are over and are followed by others.
        for (id, _) in agent.live().filter(|(_, state)| !state.is_active()) {
            board.attempts.remove(&id);
        }
        let unresolved = agent.unresolved();
        board.agent = Some(agent);
        self.note(Who::Board(at), |_| format!("starts, boot {boot}"));
        for assignment in unresolved {
            let found = self.adopt(at, assignment);
            self.boards[at].inputs.push_back(Input::Found { assignment, found });
        }
        self.agent_turn(at);
        self.sweep(at);
        let board = &self.boards[at];
        if board.agent.is_some() {
            let life = board.life;
            let joined = board.joined;
            let dial_ms = self.chance.between(1, 500);
            let event = match joined {
                true => Event::Dial { board: at, life },
                false => Event::Join { board: at, life },
            };
            self.after(dial_ms, event);
        }
    }

    /// Current comes; a clock that has no battery begins anew, until the network tells the time.
    fn power_up(&mut self, at: usize) {
        let now_ms = self.now_ms;
        let board = &mut self.boards[at];
        if board.powered {
            return;
        }
        board.powered = true;
        board.booted_ms = now_ms;
        if !board.has_clock {
            board.forget_time(now_ms);
            self.coverage.count(Kind::NoClock);
            let set_ms = self.chance.spread(100, 60_000);
            self.after(set_ms, Event::ClockSet { board: at, booted_ms: now_ms });
        }
    }

    /// The network tells a board the time.
    pub fn set_clock(&mut self, at: usize, booted_ms: u64) {
        let board = &mut self.boards[at];
        if board.booted_ms == booted_ms {
            board.wall_offset_ms = 0;
            self.note(Who::Board(at), |_| "learns the time".to_owned());
        }
    }

    fn adopt(&mut self, at: usize, id: AssignmentId) -> Found {
        let now_ms = self.now_ms;
        let mono = self.boards[at].mono(now_ms).0;
        let attempts = &mut self.boards[at].attempts;
        let Some(attempt) = attempts.get_mut(&id) else {
            self.coverage.count(Kind::FoundNeverStarted);
            return Found::NeverStarted;
        };
        attempt.watched = true;
        let (kind, found) = match &attempt.process {
            Process::Asked => {
                // The question takes the lock: its supervisor will never run it.
                attempts.remove(&id);
                (Kind::FoundNeverStarted, Found::NeverStarted)
            }
            Process::Runs { since_ms, wall } => {
                let ran_ms = mono.saturating_sub(*since_ms);
                (Kind::FoundRunning, Found::Running { started_at: *wall, ran_ms })
            }
            Process::Ended(end) => (Kind::FoundEnded, Found::Ended(end.clone())),
            Process::Gone => (Kind::FoundGone, Found::Gone),
        };
        self.coverage.count(kind);
        found
    }

    /// Removes what is left of attempts that nobody remembers.
    fn sweep(&mut self, at: usize) {
        let board = &mut self.boards[at];
        let Some(agent) = &board.agent else {
            return;
        };
        board.attempts.retain(|id, attempt| {
            let remembered = agent.remembers(*id);
            let runs = matches!(attempt.process, Process::Runs { .. } | Process::Asked);
            ensure(remembered || !runs, "what_runs_is_remembered", || {
                format!("{} on agent {at}", describe::attempt(*id))
            });
            remembered
        });
    }

    /// The agent's process dies; supervisors and what they run live on.
    pub fn crash_agent(&mut self, at: usize) {
        if self.boards[at].agent.is_none() {
            return;
        }
        self.note(Who::Board(at), |_| "its process dies".to_owned());
        self.boards[at].stop_process();
        let session = self.boards[at].line.session;
        let noticed_ms = self.chance.below(1_500);
        self.after(noticed_ms, Event::LineDead { board: at, session, only_if_cut: false });
        let restart_ms = self.chance.spread(20, 20_000);
        self.after(restart_ms, Event::AgentStart { board: at });
    }

    /// The board loses its power: nothing that ran is there any more.
    pub fn cut_power(&mut self, at: usize) {
        self.note(Who::Board(at), |_| "loses its power".to_owned());
        self.boards[at].stop_process();
        self.boards[at].powered = false;
        let lost_record = self.chance.percent(10);
        for (id, attempt) in &mut self.boards[at].attempts {
            if let Process::Runs { .. } = attempt.process
                && let Some(running) = self.running.get_mut(&id.task)
            {
                running.remove(&(at, *id));
            }
            if lost_record || !matches!(attempt.process, Process::Ended(_)) {
                attempt.process = Process::Gone;
            }
        }
        let session = self.boards[at].line.session;
        let noticed_ms = self.chance.between(8_000, 20_000);
        self.after(noticed_ms, Event::LineDead { board: at, session, only_if_cut: false });
        let restart_ms = self.chance.spread(1_000, 60_000);
        self.after(restart_ms, Event::AgentStart { board: at });
    }

    /// The board comes back with an empty disk.
    pub fn replace_disk(&mut self, at: usize) {
        self.cut_power(at);
        let incarnation = Incarnation(self.chance.uuid());
        let board = &mut self.boards[at];
        board.disk = Disk::new(incarnation);
        board.incarnation = incarnation;
        board.joined = false;
        board.attempts.clear();
    }

    pub fn tell_agent(&mut self, at: usize, input: Input) {
        let board = &mut self.boards[at];
        if board.agent.is_none() {
            return;
        }
        board.inputs.push_back(input);
        self.let_agent_turn(at);
    }

    /// What has arrived is taken in a moment, all of it together.
    fn let_agent_turn(&mut self, at: usize) {
        let board = &mut self.boards[at];
        if !board.turn_due && board.stuck.is_none() {
            board.turn_due = true;
            let life = board.life;
            let after_ms = self.chance.below(4);
            self.after(after_ms, Event::AgentTurn { board: at, life });
        }
    }

    pub fn agent_turn_due(&mut self, at: usize, life: u64) {
        if self.boards[at].life == life && self.boards[at].agent.is_some() {
            self.boards[at].turn_due = false;
            self.agent_turn(at);
        }
    }

    pub fn agent_wakes(&mut self, at: usize, life: u64) {
        if self.boards[at].life == life && self.boards[at].wake_at == Some(self.now_ms) {
            self.boards[at].wake_at = None;
            self.boards[at].inputs.push_back(Input::Tick);
            self.agent_turn(at);
        }
    }

    /// Steps through what has arrived, unless an earlier batch is not on disk yet.
    fn agent_turn(&mut self, at: usize) {
        if self.boards[at].stuck.is_some() {
            return;
        }
        let (mut changes, mut effects) = (Vec::new(), Vec::new());
        while let Some(input) = self.boards[at].inputs.pop_front() {
            let chance = self.chance.word();
            let board = &mut self.boards[at];
            let now = board.now(self.now_ms, chance);
            let Some(agent) = board.agent.as_mut() else {
                return;
            };
            let outcome = agent.step(input, now);
            if let Err(broken) = invariant::check(agent) {
                fail(broken.name, format!("agent {at}: {}", broken.detail));
            }
            changes.extend(outcome.changes);
            effects.extend(outcome.effects);
        }
        let armed = &mut self.boards[at].armed;
        let crash = if changes.is_empty() { None } else { Armed::pass(armed) };
        if crash.is_some_and(|crash| crash.point == CrashPoint::BeforeCommit) {
            self.coverage.count(Kind::AgentCrashBeforeCommit);
            self.agent_dies(at, crash);
            return;
        }
        self.agent_commits(at, Batch { changes, effects, crash, tries: 0 });
    }

    fn agent_dies(&mut self, at: usize, crash: Option<Armed>) {
        match crash {
            Some(Armed { power: true, .. }) => self.cut_power(at),
            _ => self.crash_agent(at),
        }
    }

    pub fn agent_commits_again(&mut self, at: usize, life: u64) {
        if self.boards[at].life == life
            && let Some(batch) = self.boards[at].stuck.take()
        {
            self.agent_commits(at, batch);
        }
    }

    /// Commits, and does what follows; on a full disk the same batch is tried again and nothing
    /// new is taken.
    fn agent_commits(&mut self, at: usize, mut batch: Batch) {
        let full = self.now_ms < self.boards[at].disk.full_until_ms;
        if full && !batch.changes.is_empty() {
            self.coverage.count(Kind::AgentCommitFailed);
            batch.tries += 1;
            let (first_ms, max_ms) = COMMIT_RETRY_MS;
            let wait_ms = delay_ms(batch.tries, first_ms, max_ms, self.chance.word());
            let board = &mut self.boards[at];
            board.disk.failed_ms = Some(self.now_ms);
            board.stuck = Some(batch);
            let life = board.life;
            self.note(Who::Board(at), |_| "cannot commit: its disk is full".to_owned());
            self.after(wait_ms, Event::AgentCommit { board: at, life });
            return;
        }
        for change in &batch.changes {
            self.detail(Who::Board(at), |_| format!("writes {change:?}"));
        }
        self.boards[at].disk.store.commit(&batch.changes);
        self.check_outbox(at);
        let Batch { mut effects, crash, tries, .. } = batch;
        match crash.map(|crash| crash.point) {
            Some(CrashPoint::AfterCommit) => {
                self.coverage.count(Kind::AgentCrashAfterCommit);
                effects.clear();
            }
            Some(_) => {
                self.coverage.count(Kind::AgentCrashAmongEffects);
                effects.truncate(self.chance.index(effects.len() + 1));
            }
            None => {}
        }
        for effect in effects {
            self.agent_acts(at, effect);
        }
        if crash.is_some() {
            self.agent_dies(at, crash);
            return;
        }
        self.sleep_agent(at);
        if tries > 0 {
            let life = self.boards[at].life;
            let within_ms = self.chance.below(MEASURE_MS);
            self.after(within_ms, Event::AgentMeasure { board: at, life });
            self.after(COMMIT_FAILED_MS + MEASURE_MS, Event::AgentMeasure { board: at, life });
            self.let_agent_turn(at);
        }
    }

    fn check_outbox(&self, at: usize) {
        let board = &self.boards[at];
        let deleted = board.agent.as_ref().map_or(Sequence(0), |agent| agent.outbox().acked);
        let taken = self.core.maps.taken.get(&board.incarnation).copied().unwrap_or_default();
        ensure(deleted <= taken, "what_is_deleted_was_taken", || {
            format!("agent {at} has deleted up to {deleted}, the core has taken up to {taken}")
        });
    }

    fn sleep_agent(&mut self, at: usize) {
        let board = &mut self.boards[at];
        let Some(wakeup) = board.agent.as_ref().and_then(Agent::next_wakeup) else {
            return;
        };
        let at_ms = board.true_ms(wakeup).max(self.now_ms + 1);
        if board.wake_at != Some(at_ms) {
            board.wake_at = Some(at_ms);
            let life = board.life;
            self.at(at_ms, Event::AgentWake { board: at, life });
        }
    }

    /// The machine is measured.
    pub fn measure(&mut self, at: usize, life: u64) {
        let cpu = self.chance.below(100) as f64 / 100.0;
        let board = &self.boards[at];
        if board.life != life {
            return;
        }
        let failed =
            board.disk.failed_ms.is_some_and(|failed| self.now_ms - failed < COMMIT_FAILED_MS);
        let disk_full = failed || self.now_ms < board.disk.low_until_ms;
        let load = Load { cpu, ..Load::default() };
        self.tell_agent(at, Input::Measured { load, disk_full });
    }

    fn agent_acts(&mut self, at: usize, effect: Effect) {
        match effect {
            Effect::Send(message) => self.send_up(at, message),
            Effect::SendReports { after, upto } => self.send_reports(at, after, upto),
            Effect::Spawn { assignment, run, order, .. } => {
                self.spawn(at, assignment, run, &order);
            }
            Effect::RenewLease { .. } => {}
            Effect::Terminate { assignment } => self.terminate(at, assignment),
            Effect::Kill { assignment } => self.kill(at, assignment),
            Effect::Forget { assignment } => {
                let forgotten = self.boards[at].attempts.remove(&assignment);
                let runs = forgotten.is_some_and(|it| matches!(it.process, Process::Runs { .. }));
                ensure(!runs, "what_is_forgotten_is_over", || describe::attempt(assignment));
            }
            Effect::Note(notice) => {
                if let Some(words) = describe::notice(&notice) {
                    self.note(Who::Board(at), |_| words);
                }
                if let Some(kind) = notice_kind(&notice) {
                    self.coverage.count(kind);
                }
            }
        }
    }

    fn send_reports(&mut self, at: usize, after: Sequence, upto: Sequence) {
        let mut after = after;
        while after < upto {
            let some = usize::try_from(self.chance.between(1, 8)).expect("small");
            let items = self.boards[at].disk.store.reports(after, upto, some);
            let last = items.last().map_or(upto, |item| item.seq);
            if self.chaos && self.chance.percent(3) {
                self.coverage.count(Kind::ReportsCut);
                self.tell_agent(at, Input::ReportsCut { sent: after });
                return;
            }
            let incarnation = self.boards[at].incarnation;
            self.send_up(at, Uplink::Reports(Reports { incarnation, after, items, upto: last }));
            after = last;
        }
    }
}

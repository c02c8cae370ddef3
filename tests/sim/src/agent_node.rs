//! The simulated agent's driver: the real `Agent`, its store and its crash points. Nothing is sent
//! or started before its batch is committed.

use edge_agent_logic::{Agent, Change, Effect, Input, Notice, invariant};
use shared::backoff::delay_ms;
use shared::id::Sequence;
use shared::wire::Uplink;
use shared::wire::downlink::RefusedBecause;
use shared::wire::uplink::{Load, Reports};

use crate::board::{Batch, Process};
use crate::coverage::{Kind, notice_kind};
use crate::describe;
use crate::event::Event;
use crate::failure::{ensure, fail};
use crate::planted::planted;
use crate::residents::Clock;
use crate::script::{Armed, CrashPoint};
use crate::trace::Who;
use crate::world::World;

/// The first wait before a failed commit is tried again, and the longest, in milliseconds.
const COMMIT_RETRY_MS: (u64, u64) = (200, 5_000);
/// How long the disk counts as full after a failed commit, in milliseconds.
const COMMIT_FAILED_MS: u64 = 30_000;
/// How often the real driver measures, in milliseconds.
const MEASURE_MS: u64 = 5_000;

impl World {
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
    pub fn agent_turn(&mut self, at: usize) {
        if self.boards[at].stuck.is_some() {
            return;
        }
        let (mut changes, mut effects) = (Vec::new(), Vec::new());
        let believed = self.boards[at].believes();
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
        let board = &self.boards[at];
        let trusted = Some(believed).filter(|before| *before == board.believes());
        let clock = Clock { wall: board.wall(self.now_ms), trusted };
        let armed = &mut self.boards[at].armed;
        let crash = if changes.is_empty() { None } else { Armed::pass(armed) };
        let fires = |change: &Change| matches!(change, Change::ScheduleMoved { .. });
        if crash.is_some() && changes.iter().any(fires) {
            self.coverage.count(Kind::AgentCrashWithFiring);
        }
        if crash.is_some_and(|crash| crash.point == CrashPoint::BeforeCommit) {
            self.coverage.count(Kind::AgentCrashBeforeCommit);
            if planted!(ActBeforeCommit) {
                effects.into_iter().for_each(|effect| self.agent_acts(at, effect));
            }
            self.agent_dies(at, crash);
            return;
        }
        self.agent_commits(at, Batch { changes, effects, crash, clock, tries: 0 });
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
        let Batch { changes, mut effects, crash, clock, tries } = batch;
        self.watch_agent(at, &changes);
        self.watch_shelf(at, &changes, clock);
        self.boards[at].disk.commit(changes);
        self.check_outbox(at);
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
        let taken = self.taken.get(&board.incarnation).copied().unwrap_or_default();
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
            Effect::Spawn { assignment, run, order, renewed } => {
                self.spawn(at, assignment, run, &order, renewed);
            }
            Effect::RenewLease { sent } => {
                self.check_lease(at, sent);
                self.boards[at].renew_leases(sent, self.plan.agent.lease_margin_ms);
            }
            Effect::Terminate { assignment } => self.terminate(at, assignment),
            Effect::Kill { assignment } => self.kill(at, assignment),
            Effect::Forget { assignment } => {
                let forgotten = self.boards[at].attempts.remove(&assignment);
                let runs = forgotten.is_some_and(|it| matches!(it.process, Process::Runs { .. }));
                ensure(!runs, "what_is_forgotten_is_over", || describe::attempt(assignment));
            }
            Effect::Note(notice) => self.notice(at, &notice),
        }
    }

    fn notice(&mut self, at: usize, notice: &Notice) {
        if let Some(words) = describe::notice(notice) {
            self.note(Who::Board(at), |_| words);
        }
        if let Some(kind) = notice_kind(notice) {
            self.coverage.count(kind);
        }
        match notice {
            Notice::AheadOfUs { .. } => self.is_barred(at, Kind::AheadOfUs),
            Notice::NotLetIn(refusal) => match refusal.reason {
                RefusedBecause::OlderDatabase => self.is_barred(at, Kind::OlderDatabase),
                RefusedBecause::Cloned => self.is_barred(at, Kind::Cloned),
                _ => {}
            },
            _ => {}
        }
    }

    fn send_reports(&mut self, at: usize, after: Sequence, upto: Sequence) {
        let mut after = after;
        while after < upto {
            let some = usize::try_from(self.chance.between(1, 8)).expect("small");
            let items = self.boards[at].disk.reports(after, upto, some);
            let last = items.last().map_or(upto, |item| item.seq);
            if self.chaos && self.chance.percent(3) {
                self.coverage.count(Kind::ReportsCut);
                self.tell_agent(at, Input::ReportsCut { sent: after });
                return;
            }
            let Some(agent) = &self.boards[at].agent else {
                return;
            };
            let (incarnation, session) = (agent.incarnation(), agent.session());
            let reports = Reports { incarnation, session, after, items, upto: last };
            self.send_up(at, Uplink::Reports(reports));
            after = last;
        }
    }
}

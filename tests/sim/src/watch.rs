//! What must hold over the whole world and neither side can see by itself: that processes end in
//! time, that nothing is forgotten by a wrong clock, and that outcomes outlive a backup of the core
//! that does not know them.

use std::collections::BTreeMap;

use cloud_core_logic::Change as CoreChange;
use edge_agent_logic::{Agent, Change};
use shared::id::{AgentId, AssignmentId, Attempt, Incarnation, Sequence, TaskId};
use shared::report::{End, ReportEvent};
use shared::spec::Reconcile;
use shared::task::{Outcome, TaskState, Verdict};
use shared::time::Monotonic;
use shared::wire::downlink::Order;

use crate::board::Process;
use crate::coverage::Kind;
use crate::describe;
use crate::event::Event;
use crate::failure::ensure;
use crate::world::World;

/// How long a process may resist being killed, in milliseconds: each kill has its chances.
const RESISTS_MS: u64 = 90_000;

/// How far two readings of one clock may be apart, in milliseconds.
const TOLERANCE_MS: u64 = 50;

/// How long an attempt's process may go on.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub timeout_ms: Option<u64>,
    pub stop_after_ms: Option<u64>,
    pub grace_ms: u64,
}

impl Limits {
    pub fn of(order: &Order) -> Self {
        let Order { timeout_ms, stop_after_ms, grace_ms, .. } = *order;
        Self { timeout_ms, stop_after_ms, grace_ms }
    }
}

/// A success that an agent told, by its place in the agent's outbox.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub incarnation: Incarnation,
    pub disk: u64,
    pub seq: Sequence,
    pub attempt: Attempt,
}

/// What is watched.
#[derive(Debug, Default)]
pub struct Watch {
    /// Every success that was told, by its task.
    told: BTreeMap<TaskId, Vec<Told>>,
    /// Successes of which the core has forgotten that it had taken them.
    forgotten: BTreeMap<TaskId, Told>,
}

impl World {
    /// A lease counts from before the core answered: the core counts on from there.
    pub fn check_lease(&self, at: usize, from: Monotonic) {
        let board = &self.boards[at];
        let answered = self.leased_ms.get(&board.id).filter(|at| **at >= board.booted_ms);
        let before = answered.is_some_and(|at| from <= board.mono(*at));
        ensure(before, "a_lease_counts_from_before_its_answer", || format!("on {}", board.id));
    }

    /// A process runs: it will be looked whether it ends in time.
    pub fn watch_process(&mut self, at: usize, id: AssignmentId, token: u64) {
        let Some(limits) = self.boards[at].attempts.get(&id).map(|it| it.limits) else {
            return;
        };
        let first_ms = limits.timeout_ms.into_iter().chain(limits.stop_after_ms).min();
        if let Some(first_ms) = first_ms {
            let life = self.boards[at].life;
            let after_ms = first_ms + limits.grace_ms + RESISTS_MS;
            self.after(after_ms, Event::Overdue { board: at, id, token, life });
        }
    }

    /// It is looked whether a process should have ended. While its agent is down or cannot write,
    /// nobody can end it.
    pub fn look_whether_overdue(&mut self, at: usize, id: AssignmentId, token: u64, life: u64) {
        let board = &self.boards[at];
        let Some(attempt) = board.attempts.get(&id).filter(|attempt| attempt.token == token) else {
            return;
        };
        let Process::Runs { since_ms, .. } = attempt.process else {
            return;
        };
        if board.life != life || board.disk.failed_ms.is_some() || !attempt.watched {
            return;
        }
        let limits = attempt.limits;
        let drift = |milliseconds: u64| milliseconds + milliseconds / 50 + RESISTS_MS;
        let ran_ms = board.mono(self.now_ms).0.saturating_sub(since_ms);
        let timed_out =
            limits.timeout_ms.is_some_and(|most| ran_ms > drift(most + limits.grace_ms));
        ensure(!timed_out, "a_process_ends_with_its_timeout", || {
            format!("{} on agent {at} runs for {ran_ms} ms", describe::attempt(id))
        });
        let silent_ms = self.now_ms - board.heard_ms;
        let deserted =
            limits.stop_after_ms.is_some_and(|most| silent_ms > drift(most + limits.grace_ms));
        ensure(!deserted, "a_process_that_must_not_go_on_alone_ends", || {
            format!("{} on agent {at}, silent for {silent_ms} ms", describe::attempt(id))
        });
        self.after(RESISTS_MS, Event::Overdue { board: at, id, token, life });
    }

    /// An agent has committed something.
    pub fn watch_agent(&mut self, at: usize, changes: &[Change]) {
        let board = &self.boards[at];
        for change in changes {
            match change {
                Change::ReportAdded { seq, report } => {
                    let ReportEvent::Finished(finish) = &report.event else {
                        continue;
                    };
                    if finish.end == End::TimedOut {
                        self.check_timeout(at, report.assignment, finish.ran_ms);
                    }
                    if finish.end.is_success() {
                        let AssignmentId { task, attempt } = report.assignment;
                        let (incarnation, disk) = (board.incarnation, board.disk.number);
                        let told = Told { incarnation, disk, seq: *seq, attempt };
                        self.watch.told.entry(task).or_default().push(told);
                    }
                }
                // No world lasts so long that anything in it is old.
                Change::KeptForgotten { .. } => {
                    let kept = board.agent.as_ref().map_or(0, |agent| agent.reports_kept());
                    ensure(kept >= self.plan.agent.kept_max, "no_clock_makes_outcomes_old", || {
                        format!("agent {at} keeps {kept}, and may keep more")
                    });
                }
                _ => {}
            }
        }
    }

    /// What timed out has run for that long, by its supervisor's clock.
    fn check_timeout(&self, at: usize, id: AssignmentId, ran_ms: Option<u64>) {
        let limits = self.boards[at].attempts.get(&id).map(|attempt| attempt.limits);
        let timeout_ms = limits.and_then(|limits| limits.timeout_ms);
        if let (Some(timeout_ms), Some(ran_ms)) = (timeout_ms, ran_ms) {
            // The process is seen to run a moment after it began to.
            ensure(ran_ms + TOLERANCE_MS >= timeout_ms, "what_timed_out_ran_that_long", || {
                format!("{} ran for {ran_ms} of {timeout_ms} ms", describe::attempt(id))
            });
        }
    }

    /// The core is about to be put back to a backup: which outcomes it will have forgotten that
    /// agents still have.
    pub fn watch_restored(&mut self, backup: &crate::maps::Maps) {
        self.watch.forgotten.clear();
        if self.plan.agent.kept_max < self.plan.work.len() * 10 {
            return;
        }
        for task in &backup.unsettled {
            let Some(now) = self.core.maps.known(*task) else {
                continue;
            };
            let TaskState::Settled { outcome } = &now.life.state else {
                continue;
            };
            let succeeded = outcome.verdict == Verdict::Succeeded;
            let replaced = now.spec.disconnect.reconcile == Reconcile::KeepReplacement;
            let mut told = self.watch.told.get(task).into_iter().flatten();
            let told = told.rfind(|told| Some(told.attempt) == outcome.attempt);
            if let Some(told) = told.filter(|_| succeeded && !replaced) {
                self.watch.forgotten.insert(*task, *told);
            }
        }
    }

    /// The core has committed something. An outcome that it had forgotten is its again when it has
    /// taken the reports of the agent that kept it.
    pub fn watch_core(&mut self, changes: &[CoreChange]) {
        if self.watch.forgotten.is_empty() {
            return;
        }
        // Agents that come later than they were waited for may come too late.
        if changes.iter().any(|change| matches!(change, CoreChange::Recovered)) {
            self.watch.forgotten.clear();
        }
        for change in changes {
            let CoreChange::InboxMoved { agent, inbox } = change else {
                continue;
            };
            let kept = |told: &Told| {
                let its = told.incarnation == inbox.incarnation && told.seq <= inbox.acked;
                its && self.speaks(agent, told.disk)
            };
            let taken: Vec<TaskId> = self
                .watch
                .forgotten
                .iter()
                .filter(|(_, told)| kept(told))
                .map(|(task, _)| *task)
                .collect();
            for task in taken {
                self.watch.forgotten.remove(&task);
                self.coverage.count(Kind::OutcomeToldAgain);
                let state = &self.core.maps.known(task).expect("a task of the backup").life.state;
                let settled = matches!(state, TaskState::Settled { .. });
                ensure(settled, "an_outcome_that_an_agent_keeps_outlives_a_backup", || {
                    format!("{} {}", describe::task(task), describe::state(state))
                });
            }
        }
    }

    /// Whether it is this disk that speaks for an agent, and no copy of it.
    pub fn speaks(&self, agent: &AgentId, disk: u64) -> bool {
        let session = self.core.maps.agents.get(agent).map(|row| row.session);
        let on = |board: &&crate::board::Board| board.disk.number == disk;
        let agent = self.boards.iter().find(on).and_then(|board| board.agent.as_ref());
        agent.is_some() && agent.map(Agent::session) == session
    }

    /// A success that is recorded was one.
    pub fn check_outcome(&mut self, task: TaskId, outcome: &Outcome) {
        if outcome.verdict != Verdict::Succeeded {
            return;
        }
        let attempt = outcome.attempt.expect("an attempt that succeeded");
        let id = AssignmentId { task, attempt };
        let row = self.core.maps.known(task).expect("a task that was taken on");
        // One that was put back to a backup may not know what a firing ran.
        let unsure = self.arrivals.core_forgot && row.origin.is_some();
        let noop = row.spec.run.kind() == "noop" || unsure;
        ensure(noop || self.succeeded.contains(&id), "a_success_was_one", || {
            format!("{} never returned 0", describe::attempt(id))
        });
    }
}

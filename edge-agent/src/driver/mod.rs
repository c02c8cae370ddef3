//! The one task that runs the logic: it takes what has happened, steps, commits all changes in
//! one transaction, and only then does what follows. Knows no decision; everything it waits for
//! comes in one place.

mod process;
mod reports;

use std::collections::VecDeque;
use std::time::Duration;

use edge_agent_logic::input::Found;
use edge_agent_logic::{Agent, Change, Effect, Input};
use shared::backoff::delay_ms;
use shared::id::Sequence;
use shared::time::Monotonic;
use shared::wire::uplink::Load;
use shared_runtime::clock::Clock;
use shared_runtime::link::LinkConfigError;
use shared_runtime::shutdown::Shutdown;
use tokio::sync::mpsc::Receiver;

use crate::exec::{ExecEvent, Executor, Signal};
use crate::link::{Line, LineEvent};
use crate::observe;
use crate::probe::{HostProbe, PositionProbe};
use crate::store::Store;

pub use process::TaskEnvironment;

/// The most inputs in one transaction.
const BATCH_MAX: usize = 256;
/// How often the machine is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// The first wait before a failed commit is tried again, in milliseconds.
const COMMIT_RETRY_MS: u64 = 200;
/// The longest such wait, in milliseconds.
const COMMIT_RETRY_MS_MAX: u64 = 5_000;
/// How long the disk counts as full after a failed commit, in milliseconds, whatever it says.
const COMMIT_FAILED_MS: u64 = 30_000;
/// The longest sleep: timers stand still while a board is suspended, the agent's clock does not.
const SLEEP_MS_MAX: u64 = 30_000;
/// How long an orderly stop waits for the core to acknowledge what it was told.
const LAST_WORDS: Duration = Duration::from_millis(1_500);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the driver drives.
pub struct Parts {
    /// The state.
    pub agent: Agent,
    /// Where it is kept.
    pub store: Store,
    /// The way to the core.
    pub line: Line,
    /// What runs tasks.
    pub executor: Executor,
    /// What happens to them.
    pub exec_events: Receiver<ExecEvent>,
    /// Measures the machine.
    pub host: HostProbe,
    /// Follows the position, if it changes.
    pub position: Option<PositionProbe>,
    /// What tasks are given beside their orders.
    pub environment: TaskEnvironment,
    /// How much of the disk is to stay free, MiB.
    pub disk_reserve_mib: u64,
}

/// What ended the agent before it was asked to end.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The link cannot work as configured.
    #[error(transparent)]
    Link(#[from] LinkConfigError),
}

/// Something to wait for, and what came.
enum Arrived {
    Line(LineEvent),
    Process(ExecEvent),
    Measure,
    Time,
    Stop,
}

/// Runs an agent.
pub struct Driver {
    parts: Parts,
    clock: Clock,
    /// What follows from effects, to be stepped next.
    pending: VecDeque<Input>,
    commit_failed: Option<Monotonic>,
    disk_full: bool,
}

impl Driver {
    /// A driver for these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let clock = Clock::new();
        Self { parts, clock, pending: VecDeque::new(), commit_failed: None, disk_full: false }
    }

    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// The agent cannot work as it is configured.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), DriverError> {
        self.clear_ended_runs().await;
        self.recover(&shutdown).await;
        self.sweep().await;
        let mut measuring = tokio::time::interval(MEASURE_EVERY);
        measuring.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !shutdown.is_requested() {
            let arrived = self.arrive(&mut measuring, &shutdown).await?;
            if matches!(arrived, Arrived::Stop) {
                break;
            }
            let mut inputs = Vec::new();
            self.take(arrived, &mut inputs);
            self.take_waiting(&mut inputs);
            self.turn(inputs, &shutdown).await;
        }
        self.leave(&shutdown).await
    }

    async fn arrive(
        &mut self,
        measuring: &mut tokio::time::Interval,
        shutdown: &Shutdown,
    ) -> Result<Arrived, DriverError> {
        let wait = self.until_wakeup();
        let parts = &mut self.parts;
        Ok(tokio::select! {
            event = parts.line.next() => Arrived::Line(event?),
            Some(event) = parts.exec_events.recv() => Arrived::Process(event),
            _ = measuring.tick() => Arrived::Measure,
            () = tokio::time::sleep(wait) => Arrived::Time,
            () = shutdown.requested() => Arrived::Stop,
        })
    }

    fn until_wakeup(&self) -> Duration {
        let now = self.clock.now().mono;
        let wait_ms = self.parts.agent.next_wakeup().map_or(SLEEP_MS_MAX, |at| at.since_ms(now));
        Duration::from_millis(wait_ms.min(SLEEP_MS_MAX))
    }

    fn take(&mut self, arrived: Arrived, inputs: &mut Vec<Input>) {
        match arrived {
            Arrived::Line(event) => inputs.push(process::input_of_line(event)),
            Arrived::Process(event) => inputs.push(process::input_of_process(event)),
            Arrived::Measure => self.measure(inputs),
            Arrived::Time => inputs.push(Input::Tick),
            Arrived::Stop => {}
        }
    }

    /// What has arrived already goes into the same transaction.
    fn take_waiting(&mut self, inputs: &mut Vec<Input>) {
        while inputs.len() < BATCH_MAX {
            if let Ok(event) = self.parts.exec_events.try_recv() {
                inputs.push(process::input_of_process(event));
            } else if let Some(event) = self.parts.line.try_next() {
                inputs.push(process::input_of_line(event));
            } else {
                return;
            }
        }
    }

    fn measure(&mut self, inputs: &mut Vec<Input>) {
        let sample = self.parts.host.sample();
        let now = self.clock.now().mono;
        let failed = self.commit_failed.is_some_and(|at| now.since_ms(at) < COMMIT_FAILED_MS);
        let short = sample.disk_free_mib.is_some_and(|free| free < self.parts.disk_reserve_mib);
        let disk_full = failed || short;
        if disk_full != self.disk_full {
            self.disk_full = disk_full;
            observe::disk(disk_full, sample.disk_free_mib);
        }
        let load = Load {
            cpu: sample.cpu_load.unwrap_or(0.0),
            memory: sample.memory_used.unwrap_or(0.0),
            disk: sample.disk_used.unwrap_or(0.0),
        };
        inputs.push(Input::Measured { load, disk_full });
        match self.parts.position.as_mut().map(PositionProbe::sample) {
            Some(Ok(Some(position))) => inputs.push(Input::Moved { position }),
            Some(Err(error)) => observe::no_position(&error),
            Some(Ok(None)) | None => {}
        }
    }

    /// Steps, commits, acts; and again with what follows at once from acting.
    async fn turn(&mut self, inputs: Vec<Input>, shutdown: &Shutdown) {
        self.pending.extend(inputs);
        while !self.pending.is_empty() {
            let (mut changes, mut effects) = (Vec::new(), Vec::new());
            for input in self.pending.drain(..) {
                let outcome = self.parts.agent.step(input, self.clock.now());
                changes.extend(outcome.changes);
                effects.extend(outcome.effects);
            }
            if !changes.is_empty() && !self.commit(&changes, shutdown).await {
                return;
            }
            for effect in join_runs(effects) {
                self.act(effect).await;
            }
        }
    }

    /// Commits, however long that takes: nothing may be said or started before. `false` if the
    /// agent was asked to stop meanwhile; it then stops as if the power had failed.
    async fn commit(&mut self, changes: &[Change], shutdown: &Shutdown) -> bool {
        let mut tries = 0;
        loop {
            let Err(error) = self.parts.store.commit(changes) else {
                if tries > 0 {
                    observe::commit_works_again(tries);
                }
                return true;
            };
            tries += 1;
            observe::commit_failed(&error, tries);
            let now = self.clock.now();
            self.commit_failed = Some(now.mono);
            let wait_ms = delay_ms(tries, COMMIT_RETRY_MS, COMMIT_RETRY_MS_MAX, now.chance);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
                () = shutdown.requested() => return false,
            }
        }
    }

    async fn act(&mut self, effect: Effect) {
        let parts = &mut self.parts;
        match effect {
            // What is lost here is said again, or was not worth more.
            Effect::Send(message) => drop(parts.line.send(&message)),
            Effect::SendReports { after, upto } => {
                let who = (parts.agent.incarnation(), parts.agent.session());
                let cut = reports::send(&parts.store, &parts.line, who, after, upto);
                self.pending.extend(cut.map(|sent| Input::ReportsCut { sent }));
            }
            Effect::Spawn { assignment, order, .. } => {
                let dir = parts.executor.attempt_dir(assignment);
                let order = parts.environment.order(assignment, &order, &dir);
                if let Err(error) = parts.executor.start(&order) {
                    self.pending.push_back(process::not_spawned(assignment, error.message));
                }
            }
            // One that is not running any more has said so, or will.
            Effect::Terminate { assignment } => drop(parts.executor.stop(assignment, Signal::Term)),
            Effect::Kill { assignment } => drop(parts.executor.stop(assignment, Signal::Kill)),
            Effect::Forget { assignment } => {
                if let Err(error) = parts.executor.forget(assignment).await {
                    observe::not_forgotten(&error);
                }
            }
            Effect::RenewLease { .. } => {}
            Effect::Note(notice) => observe::notice(&notice),
        }
    }

    /// Removes what is left of runs that are over and are followed by others: the agent went down
    /// between deciding so and removing it.
    async fn clear_ended_runs(&mut self) {
        let live = self.parts.agent.live();
        let waiting: Vec<_> =
            live.filter(|(_, state)| !state.is_active()).map(|(id, _)| id).collect();
        for assignment in waiting {
            self.act(Effect::Forget { assignment }).await;
        }
    }

    /// Finds out what became of the tasks of the time before the restart.
    async fn recover(&mut self, shutdown: &Shutdown) {
        let unresolved = self.parts.agent.unresolved();
        if unresolved.is_empty() {
            return;
        }
        let mut counts = [0_usize; 4];
        let mut inputs = Vec::new();
        for assignment in unresolved {
            let found = self.parts.executor.adopt(assignment).await;
            let dir = self.parts.executor.attempt_dir(assignment);
            let found = process::found(found, &dir, self.clock.now());
            let which = match &found {
                Found::Running { .. } => 0,
                Found::Ended(_) => 1,
                Found::NeverStarted => 2,
                Found::Gone => 3,
            };
            counts[which] += 1;
            inputs.push(Input::Found { assignment, found });
        }
        let [adopted, ended, never_started, gone] = counts;
        observe::recovered(adopted, ended, never_started, gone);
        self.turn(inputs, shutdown).await;
    }

    /// Removes what is left of attempts that nobody remembers: the agent went down between
    /// forgetting and removing.
    async fn sweep(&mut self) {
        for assignment in self.parts.executor.list() {
            if !self.parts.agent.remembers(assignment) {
                self.act(Effect::Forget { assignment }).await;
            }
        }
    }

    /// Stops in an orderly way: tells what is still to be told, as far as that is quick, and says
    /// goodbye. What runs goes on running.
    async fn leave(mut self, shutdown: &Shutdown) -> Result<(), DriverError> {
        let until = tokio::time::Instant::now() + LAST_WORDS;
        while self.parts.agent.is_met() && self.parts.agent.reports_waiting() > 0 {
            let mut inputs = Vec::new();
            tokio::select! {
                event = self.parts.line.next() => inputs.push(process::input_of_line(event?)),
                () = tokio::time::sleep_until(until) => break,
            }
            self.turn(inputs, shutdown).await;
        }
        self.turn(vec![Input::Stop], shutdown).await;
        let running = self.parts.agent.live().filter(|(_, state)| state.is_active()).count();
        observe::stopped(running, self.parts.agent.reports_waiting());
        self.parts.line.close(GOODBYE).await;
        Ok(())
    }
}

/// Joins runs of reports that follow on one another, so that a batch sends few large messages.
fn join_runs(effects: Vec<Effect>) -> Vec<Effect> {
    let mut joined: Vec<Effect> = Vec::with_capacity(effects.len());
    let mut last_run: Option<usize> = None;
    for effect in effects {
        if let Effect::SendReports { after, upto } = effect {
            let run: Option<&mut Sequence> =
                last_run.and_then(|at| joined.get_mut(at)).and_then(|run| match run {
                    Effect::SendReports { upto: end, .. } if *end == after => Some(end),
                    _ => None,
                });
            if let Some(end) = run {
                *end = upto;
                continue;
            }
            last_run = Some(joined.len());
        }
        joined.push(effect);
    }
    joined
}

#[cfg(test)]
mod tests;

//! The one task that runs the logic: it takes what has happened, steps, commits all changes in
//! one transaction, and only then does what follows. Knows no decision; everything it waits for
//! comes in one place.

mod act;
mod keep;
mod process;
mod recover;
mod reports;
mod ship;
mod soft;
mod wear;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use edge_agent_logic::clock::Trust;
use edge_agent_logic::{Agent, Effect, Input};
use shared::id::{AssignmentId, Sequence};
use shared::report::ProgressMark;
use shared::time::{Monotonic, Now, Timestamp};
use shared::wire::Downlink;
use shared::wire::uplink::Load;
use shared_runtime::clock::Clock;
use shared_runtime::link::{Believed, LinkConfigError};
use shared_runtime::shutdown::Shutdown;
use tokio::sync::mpsc::Receiver;
use tokio::time::{Interval, MissedTickBehavior};

use crate::config::LogLimits;
use crate::exec::{ExecEvent, ExecEventKind, ExecOrder, Executor, Progress, ProgressWatch};
use crate::link::{Line, LineEvent};
use crate::observe;
use crate::probe::{HostProbe, PositionProbe};
use crate::room::Room;
use crate::store::{FlashDay, Store};
use ship::Shipper;
use soft::Soft;
use wear::Wear;

pub use process::TaskEnvironment;

/// The most inputs in one transaction.
const BATCH_MAX: usize = 256;
/// How often the machine is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked at what running tasks have written, while there are any.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many such looks lie between two at what is kept of logs.
const LOOKS_TO_TEND: u32 = 30;
/// The longest sleep: timers stand still while a board is suspended, the agent's clock does not.
const SLEEP_MS_MAX: u64 = 30_000;
/// How long an orderly stop waits for the core to acknowledge what it was told.
const LAST_WORDS: Duration = Duration::from_millis(1_500);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Room in the link that is left to everything else before logs are sent.
const ROOM_KEPT: usize = 16;

/// What the driver drives.
pub struct Parts {
    /// The state.
    pub agent: Agent,
    /// Where it is kept.
    pub store: Store,
    /// What it says of flash, and the last wall time that it believed.
    pub flash: Option<FlashDay>,
    /// The last wall time that the store believed.
    pub floor: Option<Timestamp>,
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
    /// The data folder.
    pub data: PathBuf,
    /// Its room.
    pub room: Room,
    /// How much of the disk is to stay free, MiB.
    pub disk_reserve_mib: u64,
    /// How much may be written to flash in a day, in bytes.
    pub flash_bytes_per_day: Option<u64>,
    /// How much is kept of what tasks write.
    pub logs: LogLimits,
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
    Look,
    Time,
    Stop,
}

/// What makes the driver look around.
struct Timers {
    measure: Interval,
    look: Interval,
}

/// Runs an agent.
pub struct Driver {
    parts: Parts,
    clock: Clock,
    /// What follows from effects, to be stepped next.
    pending: VecDeque<Input>,
    /// Tasks that were asked for and have not been seen to run or end.
    starting: BTreeMap<AssignmentId, ExecOrder>,
    /// Those of them that wait for room on the disk.
    held_back: BTreeMap<AssignmentId, ExecOrder>,
    progress: ProgressWatch,
    shipper: Shipper,
    soft: Soft,
    wear: Wear,
    commit_failed: Option<Monotonic>,
    disk_full: bool,
    /// The disk is so full that not even logs are written.
    tight: bool,
    /// Whether supervisors were told to keep no logs.
    thrifty: bool,
    looks: u32,
}

impl Driver {
    /// A driver for these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let clock = Clock::new();
        let now = clock.now().mono;
        let live: BTreeSet<AssignmentId> = parts.agent.live().map(|(id, _)| id).collect();
        Self {
            progress: parts.executor.progress_watch(),
            shipper: Shipper::new(&parts.data, parts.logs, &live),
            soft: Soft::new(parts.floor, now),
            wear: Wear::new(parts.flash_bytes_per_day, parts.flash, now),
            parts,
            clock,
            pending: VecDeque::new(),
            starting: BTreeMap::new(),
            held_back: BTreeMap::new(),
            commit_failed: None,
            disk_full: false,
            tight: false,
            thrifty: false,
            looks: 0,
        }
    }

    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// The agent cannot work as it is configured.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), DriverError> {
        self.switch_logs(self.wear.is_used_up(), true);
        self.clear_ended_runs().await;
        self.recover(&shutdown).await;
        self.sweep().await;
        let interval = |every| {
            let mut interval = tokio::time::interval(every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let mut timers = Timers { measure: interval(MEASURE_EVERY), look: interval(LOOK_EVERY) };
        while !shutdown.is_requested() {
            let arrived = self.arrive(&mut timers, &shutdown).await?;
            if matches!(arrived, Arrived::Stop) {
                break;
            }
            let mut inputs = Vec::new();
            self.take(arrived, &mut inputs);
            self.take_waiting(&mut inputs);
            self.turn(inputs, &shutdown).await;
            self.send_logs();
        }
        self.leave(&shutdown).await
    }

    async fn arrive(
        &mut self,
        timers: &mut Timers,
        shutdown: &Shutdown,
    ) -> Result<Arrived, DriverError> {
        let wait = self.until_wakeup();
        let looks = self.shipper.has_work() || !self.starting.is_empty();
        let parts = &mut self.parts;
        Ok(tokio::select! {
            event = parts.line.next() => Arrived::Line(event?),
            Some(event) = parts.exec_events.recv() => Arrived::Process(event),
            _ = timers.measure.tick() => Arrived::Measure,
            _ = timers.look.tick(), if looks => Arrived::Look,
            () = tokio::time::sleep(wait) => Arrived::Time,
            () = shutdown.requested() => Arrived::Stop,
        })
    }

    fn until_wakeup(&self) -> Duration {
        let now = self.clock.now().mono;
        let wakeups = self.parts.agent.next_wakeup().into_iter().chain(self.soft.next_wakeup());
        let wait_ms = wakeups.min().map_or(SLEEP_MS_MAX, |at| at.since_ms(now));
        Duration::from_millis(wait_ms.min(SLEEP_MS_MAX))
    }

    fn take(&mut self, arrived: Arrived, inputs: &mut Vec<Input>) {
        match arrived {
            Arrived::Line(event) => inputs.push(self.hear(event)),
            Arrived::Process(event) => inputs.extend(self.notice(event)),
            Arrived::Measure => self.measure(inputs),
            Arrived::Look => self.look(inputs),
            Arrived::Time => inputs.push(Input::Tick),
            Arrived::Stop => {}
        }
    }

    /// What has arrived already goes into the same transaction.
    fn take_waiting(&mut self, inputs: &mut Vec<Input>) {
        while inputs.len() < BATCH_MAX {
            if let Ok(event) = self.parts.exec_events.try_recv() {
                inputs.extend(self.notice(event));
            } else if let Some(event) = self.parts.line.try_next() {
                inputs.push(self.hear(event));
            } else {
                return;
            }
        }
    }

    /// Takes what happened on the line.
    fn hear(&mut self, event: LineEvent) -> Input {
        if begins_anew(&event) {
            self.shipper.begin_anew();
        }
        if let LineEvent::Message(message) = &event
            && let Downlink::LogsAcked { assignment, upto } = **message
        {
            self.shipper.acknowledged(assignment, upto, self.clock.now());
        }
        process::input_of_line(event)
    }

    /// Takes what happened to an attempt's process. `None` if that is no news, because it will be
    /// tried again.
    fn notice(&mut self, event: ExecEvent) -> Option<Input> {
        let id = event.id;
        let order = self.starting.remove(&id);
        match &event.kind {
            ExecEventKind::Started { .. } => {
                self.shipper.begin(id, &self.parts.executor.attempt_dir(id));
            }
            ExecEventKind::Ended(record) => {
                self.wear.supervisor(id, record.written_bytes, false);
                self.wear.forget(id);
            }
            ExecEventKind::SpawnFailed { message } => {
                // What is wrong with the task itself was written down.
                let began = self.parts.executor.attempt_dir(id).has_exit();
                if let Some(order) = order.filter(|_| !began && self.parts.room.is_out()) {
                    observe::start_waits(id, message);
                    self.held_back.insert(id, order);
                    return None;
                }
            }
            ExecEventKind::Gone => self.wear.forget(id),
        }
        Some(process::input_of_process(event))
    }

    fn measure(&mut self, inputs: &mut Vec<Input>) {
        let sample = self.parts.host.sample();
        let (disk_full, now) = (self.look_at_disk(sample.disk_free_mib), self.clock.now());
        self.wear.look(self.trusted(now), now.mono);
        self.switch_logs(self.wear.is_used_up(), false);
        self.start_held_back();
        self.parts.executor.rest();
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

    /// Looks at what running tasks have written.
    fn look(&mut self, inputs: &mut Vec<Input>) {
        let active = self.parts.agent.live().filter(|(_, state)| state.is_active());
        let active: Vec<AssignmentId> = active.map(|(id, _)| id).collect();
        for (assignment, progress) in self.progress.poll(active) {
            inputs.push(Input::Progress { assignment, mark: mark_of(progress) });
        }
        self.shipper.round();
        self.looks = self.looks.wrapping_add(1);
        if self.looks.is_multiple_of(LOOKS_TO_TEND) {
            let now = self.clock.now();
            self.shipper.tend(self.parts.agent.clock().confirmed(now));
            for (id, written) in self.shipper.written() {
                self.wear.supervisor(id, written, false);
            }
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
            let Some(written) = self.write_down(changes, shutdown).await else { return };
            for effect in join_runs(effects) {
                self.act(effect).await;
            }
            self.put_away(&written).await;
        }
    }

    /// The wall clock, unless it is doubted.
    fn trusted(&self, now: Now) -> Option<Timestamp> {
        (self.parts.agent.clock().trust() == Trust::Trusted).then_some(now.wall)
    }

    /// Sends what tasks have written, if nothing more important waits.
    fn send_logs(&mut self) {
        let (agent, now) = (&self.parts.agent, self.clock.now());
        if let Some(wall) = agent.clock().confirmed(now) {
            self.parts.line.believe(Believed { wall, mono: now.mono });
        }
        let outbox = agent.outbox();
        if agent.is_met() && outbox.sent == outbox.last && self.parts.line.room() > ROOM_KEPT {
            let line = &self.parts.line;
            self.shipper.send(now, |message| line.send(message));
        }
    }

    /// Stops in an orderly way: tells what is still to be told, as far as that is quick, and says
    /// goodbye. What runs goes on running.
    async fn leave(mut self, shutdown: &Shutdown) -> Result<(), DriverError> {
        let until = tokio::time::Instant::now() + LAST_WORDS;
        while self.parts.agent.is_met() && self.parts.agent.reports_waiting() > 0 {
            let mut inputs = Vec::new();
            tokio::select! {
                event = self.parts.line.next() => inputs.push(self.hear(event?)),
                () = tokio::time::sleep_until(until) => break,
            }
            self.turn(inputs, shutdown).await;
        }
        self.turn(vec![Input::Stop], shutdown).await;
        self.write_rest(shutdown).await;
        let running = self.parts.agent.live().filter(|(_, state)| state.is_active()).count();
        observe::stopped(running, self.parts.agent.reports_waiting());
        self.parts.line.close(GOODBYE).await;
        Ok(())
    }
}

/// Whether what is under way may never be answered: its connection is gone, or a core greets that
/// may have been killed before it wrote down what it was sent. A broker that stays up tells nobody.
fn begins_anew(event: &LineEvent) -> bool {
    match event {
        LineEvent::Down { .. } => true,
        LineEvent::Message(message) => matches!(**message, Downlink::Welcome(_)),
        LineEvent::Up { .. } => false,
    }
}

/// What a task says of its progress, as it is told.
pub(crate) fn mark_of(Progress { fraction, text }: Progress) -> ProgressMark {
    // 0 to 1, so that it fits.
    let thousandths = fraction.map(|fraction| (fraction * 1_000.0) as u16);
    ProgressMark { thousandths, text }
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

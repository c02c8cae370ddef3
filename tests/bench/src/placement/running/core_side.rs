//! The core's side: a core with heartbeats every ten seconds, to which tasks are submitted at a
//! steady rate through the door of `POST /v1/tasks/batch`, behind HTTP and the reading of JSON.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cloud_core::driver::Core;
use cloud_core_logic::{Answer, NewTask, Settings, Taken};
use shared::geo::Position;
use shared::spec::{Exec, Near, Run, TaskSpec};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::HEARTBEAT_MS;
use super::buckets::Buckets;
use crate::placement::fleet::{Dice, Spread};
use crate::sides::Status;
use crate::sides::board::in_cities;
use crate::sides::core::{Running, block_on, now_ms, processor_ms, start, stdin, sum};

/// Tasks of so long a time come as one batch.
const BATCH_MS: u64 = 10;

/// Words: the folder, how many agents, how many tasks a second, and for how many seconds.
pub fn main(words: &[&str]) -> ExitCode {
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
    let (Some(folder), Some(agents), Some(rate), Some(seconds)) =
        (words.first(), number(1), number(2), number(3))
    else {
        return ExitCode::from(2);
    };
    block_on(run(Path::new(folder), agents as usize, Load { rate, seconds }));
    ExitCode::SUCCESS
}

/// What is submitted.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Tasks a second.
    rate: u64,
    seconds: u64,
}

/// What became of it.
#[derive(Debug, Default)]
struct Seen {
    taken: AtomicU64,
    refused: AtomicU64,
    /// 1 once all was submitted.
    over: AtomicU64,
}

async fn run(folder: &Path, agents: usize, load: Load) {
    let settings = Settings { heartbeat_ms: HEARTBEAT_MS, ..Settings::default() };
    let running = start(folder, settings).await;
    let spread = Spread::cities();
    let boards = (0..agents).map(|at| in_cities(at, &spread).0);
    let anyones = boards.filter(|facts| facts.taints.is_empty());
    let places: Arc<[Position]> = anyones.filter_map(|facts| facts.position).collect();
    let seen = Arc::new(Seen::default());
    let mut before = Durations::of(&running.metrics());
    let mut lines = BufReader::new(stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == "submit" {
            before = Durations::of(&running.metrics());
            let (core, seen) = (running.core.clone(), Arc::clone(&seen));
            tokio::spawn(submit(core, Arc::clone(&places), load, seen));
        }
        println!("{}", status(&running, &before, &seen).line());
    }
}

/// Submits at a steady rate, whether or not what was submitted before is answered.
async fn submit(core: Core, places: Arc<[Position]>, load: Load, seen: Arc<Seen>) {
    let mut dice = Dice::new(11);
    let mut ticks = tokio::time::interval(Duration::from_millis(BATCH_MS));
    let begun = Instant::now();
    let (mut sent, all) = (0, load.rate * load.seconds);
    while sent < all {
        ticks.tick().await;
        let passed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = (passed_ms.saturating_mul(load.rate) / 1_000).min(all);
        let task = |_| NewTask {
            id: core.new_task_id(),
            spec: Arc::new(task_near(places[dice.below(places.len())], &mut dice)),
            key: None,
            trace: None,
        };
        let tasks: Vec<NewTask> = (sent..due).map(task).collect();
        sent = sent.max(due);
        if tasks.is_empty() {
            continue;
        }
        let (core, seen) = (core.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            let (count, mark) = (tasks.len() as u64, core.key_mark());
            let taken = match core.submit_many(tasks, mark).await {
                Ok(Answer::SubmittedMany(taken)) => {
                    taken.iter().filter(|one| matches!(one, Taken::Submitted { .. })).count() as u64
                }
                _ => 0,
            };
            seen.taken.fetch_add(taken, Ordering::Relaxed);
            seen.refused.fetch_add(count - taken, Ordering::Relaxed);
        });
    }
    seen.over.store(1, Ordering::Relaxed);
}

/// A small process within 50 km of a point that is at most some 15 km from a board: a task that
/// nobody is near to would only wait.
fn task_near(board: Position, dice: &mut Dice) -> TaskSpec {
    let exec = Exec { command: "/bin/true".to_owned(), ..Exec::default() };
    let mut spec = TaskSpec::new(Run::Exec(exec));
    let mut off = |degrees: f64| degrees + 0.2 * (dice.part() - 0.5);
    let (latitude, longitude) = (off(board.latitude()), off(board.longitude()));
    let position = Position::new(latitude.clamp(-90.0, 90.0), longitude.clamp(-180.0, 180.0));
    let position = position.expect("a place is on the globe");
    spec.place.near = Some(Near { position, within_m: Some(50_000.0) });
    spec.needs.cpu_millis = 100;
    spec.needs.memory_mib = 64;
    spec
}

/// How long things have taken since the start.
struct Durations {
    placement: Buckets,
    decide: Buckets,
    commit: Buckets,
    wait: Buckets,
}

impl Durations {
    fn of(metrics: &str) -> Self {
        let read = |name| Buckets::read(metrics, name);
        Self {
            placement: read("ambit_placement_duration_seconds"),
            decide: read("ambit_decide_duration_seconds"),
            commit: read("ambit_commit_duration_seconds"),
            wait: read("ambit_placement_wait_seconds"),
        }
    }
}

fn status(running: &Running, before: &Durations, seen: &Seen) -> Status {
    let metrics = running.metrics();
    let now = Durations::of(&metrics);
    let mut status = Status::default();
    let durations = [
        ("placement", now.placement.since(&before.placement)),
        ("decide", now.decide.since(&before.decide)),
        ("commit", now.commit.since(&before.commit)),
        ("wait", now.wait.since(&before.wait)),
    ];
    for (name, buckets) in durations {
        for (part, share) in [("p50", 0.5), ("p99", 0.99)] {
            let nanoseconds = buckets.quantile(share) * 1e9;
            status.set(&format!("{name}_{part}_ns"), nanoseconds as u64);
        }
    }
    for (name, series) in [
        ("online", "ambit_agents{status=\"online\"}"),
        ("placed", "ambit_placements_total"),
        ("settled", "ambit_outcomes_total"),
        ("succeeded", "ambit_outcomes_total{status=\"succeeded\""),
        ("pending", "ambit_tasks{status=\"pending\"}"),
        ("messages", "ambit_inputs_total"),
        ("sent", "ambit_messages_sent_total"),
        ("dropped", "ambit_messages_dropped_total"),
        ("commits", "ambit_commit_duration_seconds_count"),
    ] {
        status.set(name, sum(&metrics, series));
    }
    for (name, number) in [("taken", &seen.taken), ("refused", &seen.refused), ("over", &seen.over)]
    {
        status.set(name, number.load(Ordering::Relaxed));
    }
    let (cpu_ms, driver_cpu_ms) = processor_ms();
    status.set("cpu_ms", cpu_ms);
    status.set("driver_cpu_ms", driver_cpu_ms);
    status.set("at_ms", now_ms());
    status
}

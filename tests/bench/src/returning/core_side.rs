//! The core's side: a core that is told what to do, and looks when all is as it is to be.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloud_core::driver::Core;
use cloud_core_logic::{Answer, Settings};
use shared::api::AgentStatus;
use shared::id::TaskId;
use shared::spec::{Exec, Run, TaskSpec};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::sides::Status;
use crate::sides::board::agent_id;
use crate::sides::core::{Running, block_on, now_ms, processor_ms, start, stdin, sum};

/// How often it is looked whether all is settled.
const LOOK: Duration = Duration::from_millis(50);
/// Requests under way at once.
const REQUESTS: usize = 2_000;

/// Words: `fill` or `return`, the folder, how many agents, tasks of each, and how many assignments
/// the agents hold when all is done.
pub fn main(words: &[&str]) -> ExitCode {
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0_usize);
    let Some(folder) = words.get(1) else {
        return ExitCode::from(2);
    };
    let asked = Asked { agents: number(2), tasks: number(3), held: number(4) as u64 };
    block_on(run(Path::new(folder), asked));
    ExitCode::SUCCESS
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    agents: usize,
    tasks: usize,
    held: u64,
}

/// What the two parts of this side share.
#[derive(Debug, Default)]
struct Seen {
    online: AtomicU64,
    held: AtomicU64,
    settled_at: AtomicU64,
    /// 1 once that was done which was asked for.
    submitted: AtomicU64,
    cancelled: AtomicU64,
}

async fn run(folder: &Path, asked: Asked) {
    let running = start(folder, Settings::default()).await;
    let seen = Arc::new(Seen::default());
    tokio::spawn(watch(running.core.clone(), asked, Arc::clone(&seen)));
    answer(running, asked, seen).await;
}

/// Looks at the fleet as everybody may, and notes when all is as it is to be.
async fn watch(core: Core, asked: Asked, seen: Arc<Seen>) {
    loop {
        if let Ok(view) = core.fleet().await {
            let online =
                view.fleet.iter().filter(|agent| agent.status == AgentStatus::Online).count();
            let held: u64 = view.fleet.iter().map(|agent| u64::from(agent.assignments)).sum();
            drop(view);
            seen.online.store(online as u64, Ordering::Relaxed);
            seen.held.store(held, Ordering::Relaxed);
            let settled = online == asked.agents && held == asked.held;
            if settled && seen.settled_at.load(Ordering::Relaxed) == 0 {
                seen.settled_at.store(now_ms(), Ordering::Relaxed);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Does what it is told until nobody tells it anything any more.
async fn answer(running: Running, asked: Asked, seen: Arc<Seen>) {
    let mut lines = BufReader::new(stdin()).lines();
    let tasks = Arc::new(std::sync::Mutex::new(Vec::new()));
    while let Ok(Some(line)) = lines.next_line().await {
        let (core, done, tasks) = (running.core.clone(), Arc::clone(&seen), Arc::clone(&tasks));
        match line.as_str() {
            "submit" => drop(tokio::spawn(async move {
                let last = submit(&core, asked).await;
                *tasks.lock().expect("a list") = last;
                done.submitted.store(1, Ordering::Relaxed);
            })),
            "cancel" => drop(tokio::spawn(async move {
                let tasks = std::mem::take(&mut *tasks.lock().expect("a list"));
                cancel(&core, &tasks).await;
                done.cancelled.store(1, Ordering::Relaxed);
            })),
            _ => {}
        }
        println!("{}", status(&running, &seen).line());
    }
}

/// Gives each agent its tasks, one after the other; the last one of each.
async fn submit(core: &Core, asked: Asked) -> Vec<TaskId> {
    let agents: Vec<usize> = (0..asked.agents).collect();
    let mut last = Vec::new();
    for _ in 0..asked.tasks {
        last.clear();
        for some in agents.chunks(REQUESTS) {
            let submitting = some.iter().map(|at| {
                let (core, spec) = (core.clone(), Arc::new(task_of(*at)));
                tokio::spawn(async move { core.submit(spec, None, None).await })
            });
            for submitted in submitting.collect::<Vec<_>>() {
                match submitted.await.expect("a task").expect("an answer") {
                    Answer::Submitted(task) => last.push(task.summary.id),
                    other => panic!("not submitted: {other:?}"),
                }
            }
        }
    }
    last
}

/// Calls tasks off.
async fn cancel(core: &Core, tasks: &[TaskId]) {
    for some in tasks.chunks(REQUESTS) {
        let cancelling = some.iter().map(|task| {
            let (core, task) = (core.clone(), *task);
            tokio::spawn(async move { core.cancel(task).await })
        });
        for cancelled in cancelling.collect::<Vec<_>>() {
            cancelled.await.expect("a task").expect("an answer");
        }
    }
}

/// A small process that only this agent may run.
fn task_of(at: usize) -> TaskSpec {
    let exec = Exec {
        command: "/usr/bin/python3".to_owned(),
        args: vec!["-m".to_owned(), "sensor".to_owned(), "--every=60".to_owned()],
        ..Exec::default()
    };
    let mut spec = TaskSpec::new(Run::Exec(exec));
    spec.name = Some("sense".to_owned());
    spec.labels = [("app".to_owned(), "sense".to_owned())].into_iter().collect();
    spec.place.agents = vec![agent_id(at)];
    spec
}

fn status(running: &Running, seen: &Seen) -> Status {
    let metrics = running.metrics();
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let settled_at = read(&seen.settled_at);
    let mut status = Status::default();
    status.set("loaded_at", running.loaded_at);
    status.set("online", read(&seen.online));
    status.set("held", read(&seen.held));
    status.set("settled", u64::from(settled_at > 0));
    status.set("settled_at", settled_at);
    status.set("submitted", read(&seen.submitted));
    status.set("cancelled", read(&seen.cancelled));
    status.set("dropped", sum(&metrics, "ambit_messages_dropped_total"));
    status.set("commits", sum(&metrics, "ambit_commit_duration_seconds_count"));
    let (cpu_ms, driver_cpu_ms) = processor_ms();
    status.set("cpu_ms", cpu_ms);
    status.set("driver_cpu_ms", driver_cpu_ms);
    status
}

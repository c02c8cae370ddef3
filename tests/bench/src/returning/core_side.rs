//! The core's side: the core's own links, seals, driver and store, with a socket in place of MQTT.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloud_core::driver::{self, Bounds, Core, Parts};
use cloud_core::export::TraceLane;
use cloud_core::link::{self, Credentials, Doorman, SealedSender};
use cloud_core::observe::{Metrics, Registry};
use cloud_core::store::{HistoryBounds, LogBounds, SqliteStore, Store};
use cloud_core_logic::placement::Policy;
use cloud_core_logic::{Answer, Settings};
use shared::api::AgentStatus;
use shared::id::{CoreId, TaskId};
use shared::spec::{Exec, Run, TaskSpec};
use shared::wire::Topic;
use shared_runtime::clock::{Clock, new_uuid_v4};
use shared_runtime::link::loopback::Hub;
use shared_runtime::link::{LinkConfig, LinkEvent, LinkEvents, LinkSender};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::crowd::{agent_id, join_token, socket};
use super::frame;
use super::side::Status;

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
    // As `ambit core` has, with the driver's own thread beside it.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(run(Path::new(folder), asked));
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
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let now = Clock::new().now().wall;
    let store = SqliteStore::open(&folder.join("core.db"), CoreId(new_uuid_v4()), now);
    let mut store: Box<dyn Store> = Box::new(store.expect("a store"));
    let stored = store.load().expect("what it holds");
    let loaded_at = now_ms();
    let token = join_token();
    let credentials = Arc::new(Credentials::default());
    for (agent, credential) in &stored.credentials {
        credentials.put(agent, credential);
    }
    // The bounds of the link that a real core has.
    let bounds = LinkConfig::for_core("memory".to_owned(), 1, "core".to_owned());
    let hub = Hub::with_room(bounds.queue_max);
    let (link, events) = hub.link("core", Topic::core_filters().to_vec(), None);
    let (core, uplinks, _driver) = driver::start(Parts {
        stored,
        store,
        outbound: Box::new(SealedSender::new(
            link,
            Arc::clone(&credentials),
            token.clone(),
            metrics.clone(),
        )),
        settings: Settings::default(),
        policy: Policy::default(),
        bounds: Bounds::default(),
        logs: LogBounds::default(),
        history: HistoryBounds::default(),
        metrics: metrics.clone(),
        traces: TraceLane::default(),
    })
    .expect("a driver");
    let doorman = Doorman::new(credentials, token);
    tokio::spawn(link::listen(events, doorman, uplinks, metrics));
    tokio::spawn(bridge(hub, socket(folder)));
    let seen = Arc::new(Seen::default());
    tokio::spawn(watch(core.clone(), asked, Arc::clone(&seen)));
    answer(core, registry, asked, loaded_at, seen).await;
}

fn now_ms() -> u64 {
    Clock::new().now().mono.0
}

/// Carries messages between the hub and the agents' side.
async fn bridge(hub: Hub, path: std::path::PathBuf) {
    // What a killed core has left behind.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    let (stream, _) = listener.accept().await.expect("the agents' side");
    let (reading, writing) = stream.into_split();
    let downs = Topic::Down(agent_id(0)).to_string().replace(agent_id(0).as_str(), "+");
    let (sender, events) = hub.link("bridge", vec![downs], None);
    tokio::spawn(down(events, writing));
    up(sender, reading).await;
}

async fn up(sender: LinkSender, reading: OwnedReadHalf) {
    while !sender.is_up() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut stream = BufReader::with_capacity(256 * 1024, reading);
    let mut head = [0; 8];
    while stream.read_exact(&mut head).await.is_ok() {
        let (topic, payload) = frame::lengths(head).expect("a message");
        let mut bytes = vec![0; topic + payload];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        let (topic, payload) = frame::split(bytes, topic).expect("a topic");
        // Waits for room, as MQTT does.
        if sender.publish(topic, payload).await.is_err() {
            return;
        }
    }
}

async fn down(mut events: LinkEvents, writing: OwnedWriteHalf) {
    let mut stream = BufWriter::with_capacity(256 * 1024, writing);
    while let Some(first) = events.recv().await {
        let mut next = Some(first);
        while let Some(event) = next {
            if let LinkEvent::Message { topic, payload } = event
                && stream.write_all(&frame::encode(&topic, &payload)).await.is_err()
            {
                return;
            }
            next = events.try_recv();
        }
        if stream.flush().await.is_err() {
            return;
        }
    }
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
async fn answer(core: Core, registry: Registry, asked: Asked, loaded_at: u64, seen: Arc<Seen>) {
    let mut lines = BufReader::new(stdin()).lines();
    let tasks = Arc::new(std::sync::Mutex::new(Vec::new()));
    while let Ok(Some(line)) = lines.next_line().await {
        let (core, done, tasks) = (core.clone(), Arc::clone(&seen), Arc::clone(&tasks));
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
        println!("{}", status(&registry, loaded_at, &seen).line());
    }
}

/// Standard input without a thread that would keep the program from ending.
fn stdin() -> tokio::net::unix::pipe::Receiver {
    let file = std::fs::File::open("/dev/stdin").expect("standard input");
    tokio::net::unix::pipe::Receiver::from_file(file).expect("a pipe")
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

fn status(registry: &Registry, loaded_at: u64, seen: &Seen) -> Status {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).expect("metrics");
    let sum = |name: &str| -> u64 {
        let values = text.lines().filter(|line| line.starts_with(name));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    };
    let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let settled_at = read(&seen.settled_at);
    let mut status = Status::default();
    status.set("loaded_at", loaded_at);
    status.set("online", read(&seen.online));
    status.set("held", read(&seen.held));
    status.set("settled", u64::from(settled_at > 0));
    status.set("settled_at", settled_at);
    status.set("submitted", read(&seen.submitted));
    status.set("cancelled", read(&seen.cancelled));
    status.set("dropped", sum("ambit_messages_dropped_total"));
    status.set("commits", sum("ambit_commit_duration_seconds_count"));
    let (cpu_ms, driver_cpu_ms) = processor_ms();
    status.set("cpu_ms", cpu_ms);
    status.set("driver_cpu_ms", driver_cpu_ms);
    status
}

/// The processor time of this process and of its driver's thread, in milliseconds.
fn processor_ms() -> (u64, u64) {
    // The kernel counts in hundredths of a second, whatever its own clock is.
    let of = |path: &str| -> u64 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let rest = text.rsplit(") ").next().unwrap_or_default();
        let numbers: Vec<i64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
        // User and system time are the eleventh and twelfth number behind the name and the state.
        let ticks: i64 = numbers.iter().skip(10).take(2).sum();
        u64::try_from(ticks).unwrap_or(0) * 10
    };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let driver = threads.map(|entry| entry.path()).find(|path| {
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        name.trim() == "core-driver"
    });
    let driver_ms = driver.map_or(0, |path| of(&path.join("stat").display().to_string()));
    (of("/proc/self/stat"), driver_ms)
}

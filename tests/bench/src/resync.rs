//! An agent that worked for long without its core comes back with ten thousand outcomes: real
//! programs, a link that is cut and healed, every task a process.
//!
//! Nobody waits seven days. What seven days change is that the core has long given every task up
//! for lost, so that is waited for; and the agent's wall clock, which libfaketime moves on where it
//! is installed. What must pass is the queue, and that is the same.

use std::path::Path;
use std::time::{Duration, Instant};

use edge_agent::store::{Glance, Reader};
use serde_json::{Value, json};
use shared::api::AgentStatus;
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder, spec};

use crate::figure::{Measured, Row};
use crate::knob;

/// After how long the core gives a task up.
const LOST_AFTER_S: u64 = 5;
/// How long anything that must happen here may take.
const PATIENCE: Duration = Duration::from_secs(1_800);
/// How many processes run at once.
const AT_ONCE: usize = 8;
const WEEK_S: u64 = 7 * 24 * 3_600;

/// Measures it.
pub fn measure() -> Measured {
    let outcomes = knob::count("AMBIT_BENCH_OUTCOMES", 10_000);
    let held = u32::try_from(outcomes + AT_ONCE).expect("a sane number of outcomes");
    let mut setup = AgentSetup::at("a", 0.0, 0.0).faulty().later();
    setup.tasks_max = held;
    setup.running_max = Some(u32::try_from(AT_ONCE).unwrap_or(1));
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agent(setup).patient().start();
    let clock = Calendar::of(&mut cluster);
    cluster.agents[0].daemon.start();
    cluster.api.agent_is("a", AgentStatus::Online);
    fill(&cluster, outcomes);

    let begun = Instant::now();
    cluster.agents[0].link().cut();
    std::fs::write(cluster.scratch.join("gate"), "open").expect("written");
    clock.turn(WEEK_S);
    let over = |glance: &Glance| glance.tasks.iter().all(|task| task.state == "finished");
    wait(|| glance(&cluster).as_ref().is_ok_and(over), "all tasks to be over");
    let alone = begun.elapsed();
    let unsettled = || count(&cluster, "running") + count(&cluster, "assigned");
    wait(|| unsettled() == 0, "the core to give all tasks up");
    let queued = glance(&cluster).map_or(0, |glance| glance.reports_waiting);

    let healing = heal(&cluster);
    let mut measured = Measured::default();
    let what = format!("resync after 7 days offline with {outcomes} queued outcomes, loopback");
    measured.row(Row::small(what, "s", healing.settled.as_secs_f64(), 5.0, 1.0));
    measured.note(format!(
        "{held} tasks, each a process, ran within {:.0} s without a link; {queued} reports waited",
        alone.as_secs_f64()
    ));
    measured.note(clock.note());
    measured.note(format!(
        "counted from the agent's connection, which came {:.1} s after the link was healed; its \
         outbox was empty {:.2} s after the connection",
        healing.connected.as_secs_f64(),
        healing.emptied.as_secs_f64()
    ));
    measured
}

/// Gives the agent everything, and sees that it has accepted it and begun nothing but what waits at
/// the gate.
fn fill(cluster: &Cluster, outcomes: usize) {
    let gate = cluster.scratch.join("gate");
    let waits = format!("while [ ! -e '{}' ]; do sleep 0.1; done", gate.display());
    for _ in 0..AT_ONCE {
        let gated = spec::with(task(spec::sh(&waits)), json!({"priority": 100}));
        cluster.api.running(&cluster.api.submit(&gated));
    }
    let echo = json!({"exec": {"command": "/bin/echo", "args": ["measured 21.5 degrees"]}});
    let short = task(echo);
    std::thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (api, short) = (cluster.api, &short);
            let share = (worker..outcomes).step_by(AT_ONCE).count();
            scope.spawn(move || (0..share).for_each(|_| drop(api.submit(short))));
        }
    });
    let all = outcomes + AT_ONCE;
    let taken = |glance: Glance| glance.tasks.len() == all && glance.reports_waiting == 0;
    wait(|| glance(cluster).is_ok_and(taken), "the agent to accept all tasks");
}

fn task(run: Value) -> Value {
    let disconnect = json!({"disconnect": {"lost_after_s": LOST_AFTER_S}});
    spec::with(spec::on(spec::task(run), &["a"]), disconnect)
}

/// How the return went.
struct Healing {
    /// From the end of the cut to the agent's connection.
    connected: Duration,
    /// From there until every task is settled.
    settled: Duration,
    /// From there until the agent knows that everything is known.
    emptied: Duration,
}

fn heal(cluster: &Cluster) -> Healing {
    let link = cluster.agents[0].link();
    let before = link.accepted();
    let healed = Instant::now();
    link.restore();
    while link.accepted() == before {
        assert!(healed.elapsed() < PATIENCE, "the agent does not connect again");
        std::thread::sleep(Duration::from_millis(1));
    }
    let (connected, up) = (healed.elapsed(), Instant::now());
    let left = || ["pending", "running", "assigned", "blocked"].map(|it| count(cluster, it));
    wait(|| left().iter().sum::<usize>() == 0, "every task to be settled");
    let settled = up.elapsed();
    wait(|| glance(cluster).is_ok_and(|it| it.reports_waiting == 0), "the outbox to be empty");
    let emptied = up.elapsed();
    let failed = count(cluster, "failed");
    assert_eq!(failed, 0, "tasks that ran well count as failed");
    Healing { connected, settled, emptied }
}

/// Whether there are tasks with a status: 1 stands for any number of them.
fn count(cluster: &Cluster, status: &str) -> usize {
    let path = format!("/v1/tasks?limit=1&status={status}");
    let answer = cluster.api.request("GET", &path, None).expect("the core answers");
    answer.json()["items"].as_array().map_or(0, Vec::len)
}

/// What the agent's database says.
fn glance(cluster: &Cluster) -> Result<Glance, String> {
    let path = edge_agent::config::database_in(cluster.agents[0].data());
    let reader = Reader::open(&path).and_then(|mut reader| reader.glance());
    reader.map_err(|error| error.to_string())
}

fn wait(holds: impl Fn() -> bool, what: &str) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The agent's wall clock, if it can be moved.
struct Calendar(Option<std::path::PathBuf>);

/// Where Debian installs it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

impl Calendar {
    /// Has the agent look at a clock that can be moved, if there is such a thing.
    fn of(cluster: &mut Cluster) -> Self {
        if !Path::new(FAKETIME).exists() {
            return Self(None);
        }
        let path = cluster.scratch.join("calendar");
        let calendar = Self(Some(path.clone()));
        calendar.turn(0);
        let daemon = &mut cluster.agents[0].daemon;
        daemon.set_env("LD_PRELOAD", FAKETIME);
        daemon.set_env("FAKETIME_TIMESTAMP_FILE", &path.display().to_string());
        daemon.set_env("FAKETIME_NO_CACHE", "1");
        daemon.set_env("DONT_FAKE_MONOTONIC", "1");
        calendar
    }

    fn turn(&self, seconds: u64) {
        if let Self(Some(path)) = self {
            std::fs::write(path, format!("+{seconds}\n")).expect("written");
        }
    }

    fn note(&self) -> String {
        match self {
            Self(Some(_)) => "the agent's wall clock showed seven days more when it came back",
            Self(None) => "libfaketime is not installed: the agent's wall clock showed the day",
        }
        .to_owned()
    }
}

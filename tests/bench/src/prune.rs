//! An agent after a million tasks: the real logic and the real store in SQLite, driven without a
//! network and without processes, in a process of its own so that its memory is its own. What is
//! asked is not how large it is, but whether it is larger than after the first hundred thousand.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use edge_agent::store::Store;
use edge_agent_logic::{Agent, Effect, Input, Settings, Start};
use shared::id::{AgentId, Incarnation};
use shared::id::{AssignmentId, Attempt, CoreId, Revision, TaskId};
use shared::spec::Run;
use shared::time::Timestamp;
use shared::wire::Downlink;
use shared::wire::downlink::{Desired, DesiredRow, LocalRetry, Order, Want, Welcome};
use shared::wire::uplink::Facts;
use shared_runtime::clock::{Clock, new_uuid_v4, new_uuid_v7};
use tests::Scratch;

use crate::figure::{Measured, Row};
use crate::knob;
use crate::process::memory_kib;
use crate::sides::Side;

/// Tasks in one message of the core.
const BATCH: usize = 200;
const MB: f64 = 1_000_000.0;

/// Measures it.
pub fn measure() -> Measured {
    let tasks = knob::number("AMBIT_BENCH_TASKS", 1_000_000);
    let scratch = Scratch::new();
    let mut side = Side::start("prune-side", &[scratch.path().display().to_string()]);
    let begun = Instant::now();
    let mut measured = Measured::default();
    let mut seen = Vec::new();
    for tenth in 1..=10 {
        let status = side.say(&(tasks / 10).to_string());
        let memory = memory_kib(side.pid(), "VmRSS") as f64 * 1024.0;
        seen.push((memory, status.get("database") as f64, status.get("log") as f64));
        if matches!(tenth, 1 | 5 | 10) {
            measured.note(format!(
                "after {} tasks: {:.1} MB of memory, database {:.1} MB and its log {:.1} MB, {} \
                 outcomes kept",
                tasks / 10 * tenth,
                memory / MB,
                status.get("database") as f64 / MB,
                status.get("log") as f64 / MB,
                status.get("kept")
            ));
        }
    }
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    let what =
        |of: &str| format!("agent after {tasks} tasks: growth of {of} since the first tenth");
    measured.row(Row::small(what("memory"), "MB", (last.0 - first.0) / MB, 0.0, 0.0));
    measured.row(Row::small(what("database"), "MB", (last.1 - first.1) / MB, 0.0, 0.0));
    let log = last.2 - first.2;
    measured.note(format!("the database's log, which is bounded by itself, grew by {log} bytes"));
    let per_second = tasks as f64 / begun.elapsed().as_secs_f64();
    measured.note(format!("{per_second:.0} tasks a second, every batch of {BATCH} durable"));
    measured
}

/// The process that is looked at: every line says how many tasks are to be done.
pub fn main(words: &[&str]) -> ExitCode {
    let Some(folder) = words.first() else {
        return ExitCode::from(2);
    };
    let mut bench = Bench::new(Path::new(folder));
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let mut left: usize = line.parse().unwrap_or(0);
        while left > 0 {
            let some = left.min(BATCH);
            bench.batch(some);
            left -= some;
        }
        println!("{}", bench.line(Path::new(folder)));
    }
    ExitCode::SUCCESS
}

/// An agent, and a core that only ever wants more.
struct Bench {
    agent: Agent,
    store: Store,
    clock: Clock,
    order: Arc<Order>,
    rev: Revision,
}

impl Bench {
    fn new(folder: &Path) -> Self {
        let id: AgentId = "a".parse().expect("an agent's id");
        let path = folder.join("agent.db");
        let mut store = Store::open(&path, &id, Incarnation(new_uuid_v4())).expect("a store");
        let stored = store.begin_boot().expect("a boot");
        let clock = Clock::new();
        let facts = Facts { tasks_max: 1_000, ..Facts::default() };
        let settings = Settings::default();
        let (board, built_at, now) = (1, Timestamp(0), clock.now());
        let agent = Agent::restore(Start { stored, settings, facts, board, built_at, now });
        let mut bench = Self { agent, store, clock, order: order(), rev: Revision(0) };
        bench.turn(Input::LinkUp { link: 1 });
        let welcome = Welcome {
            core: CoreId(new_uuid_v4()),
            incarnation: bench.agent.incarnation(),
            session: bench.agent.session(),
            beat: bench.agent.beat(),
            reports_after_ms: 0,
            acked_seq: bench.agent.outbox().acked,
            desired_rev: bench.rev,
            heartbeat_ms: 5_000,
            sent_at: bench.clock.now().wall,
        };
        bench.turn(Input::Downlink(Downlink::Welcome(welcome)));
        bench
    }

    /// Some tasks, from the order to the acknowledgement of their outcomes.
    fn batch(&mut self, count: usize) {
        let base = self.rev;
        let rows = (0..count).map(|_| {
            self.rev = self.rev.next();
            let task = TaskId(new_uuid_v7(&self.clock.now()));
            let assignment = AssignmentId { task, attempt: Attempt(1) };
            DesiredRow { rev: self.rev, assignment, want: Want::Run(Arc::clone(&self.order)) }
        });
        let rows = rows.collect();
        let incarnation = self.agent.incarnation();
        let core = self.agent.core().expect("it met one");
        let desired =
            Desired { core, incarnation, base, upto: self.rev, rows, schedules: Vec::new() };
        self.turn(Input::Downlink(Downlink::Desired(desired)));
        let seq = self.agent.outbox().last;
        self.turn(Input::Downlink(Downlink::Acked { core, incarnation, seq }));
        assert_eq!((self.agent.reports_waiting(), self.agent.live().count()), (0, 0));
    }

    /// As the driver does it: step, commit, act.
    fn turn(&mut self, input: Input) {
        let outcome = self.agent.step(input, self.clock.now());
        self.store.commit(&outcome.changes).expect("committed");
        for effect in outcome.effects {
            if let Effect::SendReports { after, upto } = effect {
                let items = self.store.reports(after, upto, BATCH, 128 * 1024).expect("reports");
                assert!(!items.is_empty(), "what is to be sent is there");
            }
        }
    }

    fn line(&self, folder: &Path) -> String {
        let size = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |it| it.len());
        format!(
            "database={} log={} kept={}",
            size("agent.db"),
            size("agent.db-wal"),
            self.agent.reports_kept()
        )
    }
}

fn order() -> Arc<Order> {
    Arc::new(Order {
        firing: None,
        name: Some("measure".to_owned()),
        run: Run::Noop {},
        needs: shared::capacity::Resources::default(),
        priority: 50,
        timeout_ms: Some(60_000),
        grace_ms: 10_000,
        stop_after_ms: None,
        lease_ms: None,
        retry: LocalRetry::default(),
        trace: None,
    })
}

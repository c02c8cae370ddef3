//! The API as clients see it: a real listener over a real core that keeps its state in memory.

mod access;
mod agents;
mod batch;
mod client;
mod described;
mod events;
mod explained;
mod golden;
mod hostile;
mod logs;
mod malformed;
mod policy;
mod schedules;
mod serving;
mod showing;
mod submitting;
mod traced;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloud_core_logic::change::{AgentRow, Change, Credential, Flags, NO_INCARNATION};
use cloud_core_logic::placement::Policy;
use cloud_core_logic::{Input, Settings};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use shared::capacity::Resources;
use shared::id::{
    AgentId, AssignmentId, Attempt, Boot, CoreId, Incarnation, Revision, Sequence, TaskId,
};
use shared::label::Labels;
use shared::mailbox::Inbox;
use shared::report::{Report, ReportEvent};
use shared::time::Timestamp;
use shared::wire::uplink::{Facts, Hello, Load, NumberedReport, Reports};
use shared::wire::{Downlink, Uplink};
use shared_runtime::seal::HookKey;
use shared_runtime::zones::ZoneDatabase;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::{HttpSettings, ScheduleParts, ServerHandle, start};
use crate::access::{Gate, Limits};
use crate::driver::{self, Bounds, Core, DriverHandle, Outbound, Parts, Uplinks};
use crate::export::TraceLane;
use crate::observe::Metrics;
use crate::store::{HistoryBounds, LogBounds, MemoryStore, Reader, Store};
use client::Reply;

/// The database of every agent that says hello.
const INCARNATION: Incarnation = Incarnation(Uuid::from_u128(7));

/// A core that serves on a port of its own until it is dropped.
struct Served {
    runtime: Runtime,
    handle: ServerHandle,
    address: SocketAddr,
    core: Core,
    uplinks: Uplinks,
    driver: DriverHandle,
}

impl Served {
    /// One that knows three agents, none of which can be heard.
    fn new() -> Self {
        Self::with(HttpSettings::default(), 1_000)
    }

    fn with(settings: HttpSettings, pending_max: u64) -> Self {
        let mut store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
        let agents = ["board-1", "board-2", "tram-7"].map(agent);
        store.commit(&agents).expect("commit");
        Self::over(store, settings, pending_max)
    }

    /// One that goes on with what a store holds.
    fn over(store: MemoryStore, settings: HttpSettings, pending_max: u64) -> Self {
        Self::deciding(store, settings, Settings { pending_max, ..Settings::default() })
    }

    /// The same, and decides by these settings.
    fn deciding(store: MemoryStore, settings: HttpSettings, deciding: Settings) -> Self {
        Self::behind(Arc::new(Gate::new(Limits::default(), true)), store, settings, deciding)
    }

    /// The same, behind a gate.
    fn behind(
        gate: Arc<Gate>,
        store: MemoryStore,
        settings: HttpSettings,
        deciding: Settings,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("runtime");
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = HttpSettings { listen, ..settings };
        let (core, uplinks, driver) = core(store, deciding);
        let (handle, address) = runtime.block_on(async {
            uplinks.send(Input::Broker { up: true }).await.expect("a driver");
            start(core.clone(), Registry::default(), &settings, gate, schedule_parts())
                .expect("start")
        });
        Self { runtime, handle, address, core, uplinks, driver }
    }

    /// Lets an agent that nobody knew say hello: it is online from then on.
    fn greet(&self, name: &str) {
        let agent: AgentId = name.parse().expect("id");
        let message = Uplink::Hello(Box::new(hello(name)));
        let input = Input::Uplink { agent, message };
        self.runtime.block_on(self.uplinks.send(input)).expect("a driver");
        self.until(|| self.get(&format!("/v1/agents/{name}")).status == 200);
    }

    /// Lets an agent tell the first thing about the first attempt of a task.
    fn report(&self, name: &str, task: TaskId, event: ReportEvent) {
        let assignment = AssignmentId { task, attempt: Attempt(1) };
        let report = Report { assignment, at: Timestamp(0), stamp: Default::default(), event };
        let message = Uplink::Reports(Reports {
            incarnation: INCARNATION,
            session: shared::id::Session(1),
            after: Sequence(0),
            items: vec![NumberedReport { seq: Sequence(1), report }],
            upto: Sequence(1),
        });
        let input = Input::Uplink { agent: name.parse().expect("id"), message };
        self.runtime.block_on(self.uplinks.send(input)).expect("a driver");
    }

    fn reader(&self) -> std::sync::Arc<dyn Reader> {
        self.core.reader()
    }

    /// Waits for what comes about by itself.
    fn until(&self, holds: impl Fn() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never came about");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn get(&self, target: &str) -> Reply {
        client::send(self.address, "GET", target, &[], b"")
    }

    fn metrics(&self) -> String {
        String::from_utf8(self.get("/metrics").body).expect("text")
    }

    fn post(&self, target: &str) -> Reply {
        client::send(self.address, "POST", target, &[], b"")
    }

    fn submit(&self, task: &Value) -> Reply {
        self.submit_text(&task.to_string(), &[])
    }

    fn submit_text(&self, body: &str, headers: &[(&str, &str)]) -> Reply {
        let json = ("content-type", "application/json");
        let headers: Vec<_> = std::iter::once(json).chain(headers.iter().copied()).collect();
        client::send(self.address, "POST", "/v1/tasks", &headers, body.as_bytes())
    }

    /// Submits a task and gives its id.
    fn submitted(&self, task: &Value) -> String {
        let reply = self.submit(task);
        assert_eq!(reply.status, 201, "{}", reply.json());
        reply.json()["id"].as_str().expect("id").to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            self.handle.stop(false).await;
            // A test may have stopped it already, or made it fail.
            let _ = self.driver.stop().await;
        });
    }
}

/// Clocks of all the world, and a key that every test has.
fn schedule_parts() -> ScheduleParts {
    ScheduleParts {
        zones: Arc::new(ZoneDatabase::default()),
        hook_key: HookKey::from_text("a key that every test has"),
    }
}

/// A core without a way to agents.
fn core(mut store: MemoryStore, settings: Settings) -> (Core, Uplinks, DriverHandle) {
    let parts = Parts {
        topics: tokio::sync::watch::Sender::default(),
        zones: schedule_parts().zones,
        stored: store.load().expect("load"),
        store: Box::new(store),
        outbound: Box::new(Nowhere),
        settings,
        policy: Policy::default(),
        bounds: Bounds::default(),
        logs: LogBounds::default(),
        history: HistoryBounds::default(),
        metrics: Metrics::register(&mut Registry::default()),
        traces: TraceLane::default(),
    };
    driver::start(parts).expect("a driver")
}

/// Loses everything, as a network may.
struct Nowhere;

impl Outbound for Nowhere {
    fn put_credential(&mut self, _: &AgentId, _: &Credential) {}
    fn remove_credential(&mut self, _: &AgentId) {}
    fn readmit(&mut self, _: &AgentId) {}
    fn send(&mut self, _: &AgentId, _: &Downlink) {}
    fn answer_join(&mut self, _: &AgentId, _: &Downlink) {}
}

fn hello(name: &str) -> Hello {
    Hello {
        incarnation: INCARNATION,
        boot: Boot(1),
        session: shared::id::Session(1),
        link: 1,
        beat: 1,
        facts: facts(name),
        core: None,
        applied_rev: Revision(0),
        last_seq: Sequence(0),
        acked_seq: Sequence(0),
        inventory: shared::wire::uplink::InventoryPart { parts: 1, ..Default::default() },
        stamp: shared::time::Stamp::default(),
        load: Load::default(),
        sent_at: Timestamp(0),
    }
}

fn facts(name: &str) -> Facts {
    Facts {
        version: "0.1.0".to_owned(),
        region: name.starts_with("board").then(|| "au-south".to_owned()),
        labels: Labels::from([("name".to_owned(), name.to_owned())]),
        arch: "aarch64".to_owned(),
        capacity: Resources { cpu_millis: 4_000, ..Resources::default() },
        tasks_max: 8,
        runtimes: vec!["exec".to_owned(), "noop".to_owned()],
        ..Facts::default()
    }
}

fn agent(name: &str) -> Change {
    Change::AgentPut(Box::new(AgentRow {
        id: name.parse::<AgentId>().expect("id"),
        joined_at: Timestamp(0),
        facts: facts(name),
        flags: Flags::default(),
        boot: Boot(1),
        session: shared::id::Session(1),
        link: 1,
        inbox: Inbox { incarnation: NO_INCARNATION, acked: Sequence(0) },
        former: Vec::new(),
        withheld: false,
        desired_rev: Revision(0),
        last_seen: None,
    }))
}

/// A task that runs nothing.
fn noop() -> Value {
    json!({"run": {"noop": {}}})
}

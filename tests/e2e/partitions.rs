//! Real partitions: the core, the broker and every agent on a host of its own, and a network
//! between them that is cut, goes silent, flaps, is slow and loses packets; hosts that lose their
//! power, fill their disks and do not know what year it is.
//!
//! The hosts are network namespaces, see [`tests::hosts`], so all of this needs root; without, each
//! test says so and passes by. `AMBIT_PARTITIONS_REQUIRED=1` makes it fail instead.

mod brokers;
mod clocks;
mod cut;
mod disk;
mod figures;
mod power;
mod schedules;
mod silence;
mod weather;

use std::path::PathBuf;

use serde_json::Value;
use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::evidence::Traces;
use tests::hosts::system;
use tests::wait::{check, eventually};
use tests::{Cluster, ClusterBuilder, Hosts, binaries};

/// How often agents send a heartbeat in these tests, in milliseconds.
const HEARTBEAT_MS: u64 = 1_000;

/// A cluster on hosts of its own. The hosts go last.
struct Site {
    cluster: Cluster,
    hosts: Hosts,
}

/// Starts a cluster on hosts of its own, where that is possible.
fn site(builder: ClusterBuilder) -> Option<Site> {
    let mut hosts = Hosts::or_skip()?;
    let cluster = builder.heartbeat_ms(HEARTBEAT_MS).start_on(&mut hosts);
    Some(Site { cluster, hosts })
}

impl Site {
    /// A shell script that ends when the gate opens, and the gate.
    fn gated(&self, name: &str, then: &str) -> (String, Gate) {
        let path = self.cluster.scratch.join(name);
        let script = format!("until [ -e '{}' ]; do sleep 0.05; done; {then}", path.display());
        (script, Gate(path))
    }

    /// What an agent's own database says, read on its host by the agent's own program.
    fn own_view(&mut self, id: &str, what: &str) -> Result<Value, String> {
        let data = self.cluster.agent(id).data().to_path_buf();
        let mut command = self.hosts.command(id, &binaries::agent());
        let text = system::run(command.args([what, "--output=json"]).arg("--data").arg(data), "")?;
        serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))
    }

    /// Waits until an agent has written down that a task is in a state; what it says about that
    /// task, and how many reports it still has to send.
    fn holds(&mut self, id: &str, task: &str, state: &str) -> (Value, u64) {
        eventually(&format!("agent {id} to hold {task} as {state}"), || {
            let view = self.own_view(id, "status")?;
            let held = view["tasks"].as_array().into_iter().flatten();
            let found = held.into_iter().find(|held| held["task"] == task).cloned();
            let found = found.ok_or_else(|| view.to_string())?;
            check(found["state"] == state, || found.to_string())?;
            let waiting = view["reports_waiting"].as_u64().ok_or("no count of reports")?;
            Ok((found, waiting))
        })
    }

    /// Waits until an agent has written down that it has no link.
    fn knows_it_is_cut_off(&mut self, id: &str) {
        eventually(&format!("agent {id} to know that it is cut off"), || {
            let view = self.own_view(id, "status")?;
            check(view["link"] == "down", || view.to_string())
        });
    }

    /// Waits until an attempt has left evidence of its end.
    fn ended(&self, task: &str, attempt: u32) {
        eventually(&format!("attempt {attempt} of {task} to end on its agent"), || {
            let traces = self.cluster.evidence.of(task, attempt);
            check(traces.ends == 1, || format!("{traces:?}"))
        });
    }

    /// Checks that a task has succeeded, once, by its first attempt.
    fn assert_done_at_once(&self, id: &str) {
        let done = self.cluster.api.settled(id);
        let brief = in_brief(&done);
        assert_eq!(done.summary.status, TaskStatus::Succeeded, "{brief}");
        assert_eq!(done.assignments.len(), 1, "{brief}");
        assert!(done.late_reports.is_empty(), "{brief}");
        assert_eq!(self.cluster.evidence.of(id, 1), Traces { starts: 1, ends: 1 }, "{brief}");
    }

    /// Checks that a task is not settled yet.
    fn assert_open(&self, id: &str) {
        let task = self.cluster.api.task(id).expect("the task");
        assert!(!task.summary.status.is_settled(), "nobody could tell: {}", in_brief(&task));
    }
}

/// Holds a task back until it is opened.
struct Gate(PathBuf);

impl Gate {
    fn open(self) {
        std::fs::write(&self.0, "").expect("the gate opens");
    }
}

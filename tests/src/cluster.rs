//! A running cluster: a core, a broker, agents, and the means to kill each of them. At its end it
//! says which of them ended without being asked to.

use shared::api::AgentStatus;
use shared::capacity::Resources;

use crate::agent::Agent;
use crate::api::{Api, in_brief};
use crate::broker::{BrokerKind, Mosquitto};
use crate::core::CoreProcess;
use crate::daemon::Daemon;
use crate::evidence::Evidence;
use crate::scratch::{Scratch, sweep};
use crate::wait::{check, eventually};

/// A core, a broker and agents.
#[derive(Debug)]
pub struct Cluster {
    /// The core's API.
    pub api: Api,
    /// Which broker it has.
    pub kind: BrokerKind,
    /// The agents.
    pub agents: Vec<Agent>,
    /// The core.
    pub core: CoreProcess,
    /// Mosquitto, if that is the broker.
    pub broker: Option<Mosquitto>,
    /// What tasks leave behind.
    pub evidence: Evidence,
    /// The folder of it all. Goes last, with every process in it.
    pub scratch: Scratch,
}

impl Cluster {
    /// Starts everything that is not running, and waits until all agents that start with the
    /// cluster are online.
    ///
    /// # Panics
    /// When they are not in time.
    pub fn start(&mut self) {
        if let Some(broker) = &mut self.broker
            && broker.daemon().pid().is_none()
        {
            broker.start();
        }
        if self.core.daemon.pid().is_none() {
            self.core.start();
        }
        for agent in self.agents.iter_mut().filter(|agent| agent.setup.starts) {
            if agent.daemon.pid().is_none() {
                agent.daemon.start();
            }
        }
        self.core.wait_until_ready();
        for agent in self.agents.iter().filter(|agent| agent.setup.starts) {
            self.api.agent_is(&agent.setup.id, AgentStatus::Online);
        }
    }

    /// An agent, by its id.
    ///
    /// # Panics
    /// When there is none.
    pub fn agent(&mut self, id: &str) -> &mut Agent {
        let found = self.agents.iter_mut().find(|agent| agent.setup.id == id);
        found.unwrap_or_else(|| panic!("the cluster has no agent {id}"))
    }

    /// Takes the power from an agent's board: the agent and every task it runs die at once.
    pub fn power_off(&mut self, id: &str) {
        let agent = self.agent(id);
        agent.daemon.kill();
        sweep(agent.data());
    }

    /// Takes the power from a board and puts an empty disk into it.
    pub fn replace_disk(&mut self, id: &str) {
        self.power_off(id);
        // It may never have been written to.
        let _ = std::fs::remove_dir_all(self.agent(id).data());
    }

    /// Kills the core and starts it again with the same ports and data.
    pub fn restart_core(&mut self) {
        self.core.daemon.kill();
        self.core.start();
        self.core.wait_until_ready();
    }

    /// Kills everything at one moment.
    pub fn strike(&mut self) {
        for daemon in self.daemons() {
            daemon.strike();
        }
        for daemon in self.daemons() {
            daemon.kill();
        }
    }

    fn daemons(&mut self) -> Vec<&mut Daemon> {
        let mut daemons = vec![&mut self.core.daemon];
        daemons.extend(self.broker.as_mut().map(Mosquitto::daemon));
        daemons.extend(self.agents.iter_mut().map(|agent| &mut agent.daemon));
        daemons
    }

    /// Waits until nothing is under way: no task unsettled, no agent holding or reserving
    /// anything.
    ///
    /// # Panics
    /// With what is left, when something is stuck.
    pub fn wait_until_idle(&self) {
        eventually("the cluster to be idle", || {
            for status in ["pending", "assigned", "running", "blocked"] {
                let left = self.api.tasks(&format!("&status={status}"))?;
                check(left.is_empty(), || {
                    let first = left.first().map(|task| task.id.to_string()).unwrap_or_default();
                    let first = self.api.task(&first).map_or_else(|e| e, |task| in_brief(&task));
                    format!("{} {status}, among them: {first}", left.len())
                })?;
            }
            for agent in self.api.agents()? {
                let idle = agent.assignments == 0 && agent.used == Resources::default();
                check(idle, || format!("{agent:?} still holds something"))?;
            }
            Ok(())
        });
    }

    /// Which programs ended without being asked to, or panicked.
    fn faults(&mut self) -> Vec<String> {
        self.daemons()
            .into_iter()
            .filter_map(|daemon| {
                let state = daemon.state();
                let log = daemon.log();
                let panicked = log.lines().find(|line| line.contains("panicked at"));
                match panicked {
                    Some(line) => Some(format!("{}: {line}", daemon.name())),
                    None if state.is_crash() => Some(format!("{}: {state:?}", daemon.name())),
                    None => None,
                }
            })
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let faults = self.faults();
        assert!(
            faults.is_empty() || std::thread::panicking(),
            "programs ended on their own: {faults:?}"
        );
    }
}

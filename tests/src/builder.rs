//! Says what a cluster is to be made of, and makes it.

use serde_json::Value;

use crate::agent::{Agent, AgentSetup, Surroundings};
use crate::broker::{BrokerKind, Mosquitto};
use crate::cluster::Cluster;
use crate::core::{CoreProcess, CoreSetup};
use crate::evidence::Evidence;
use crate::scratch::{Scratch, write_private};
use crate::spec;

/// The token with which agents join in every test.
pub const JOIN_TOKEN: &str = "the join token of a cluster under test";

/// A cluster that is not there yet.
#[derive(Debug)]
pub struct ClusterBuilder {
    kind: BrokerKind,
    core: CoreSetup,
    agents: Vec<AgentSetup>,
}

impl ClusterBuilder {
    /// A core with this broker, and no agents.
    #[must_use]
    pub fn new(kind: BrokerKind) -> Self {
        Self { kind, core: CoreSetup::default(), agents: Vec::new() }
    }

    /// With one agent more.
    #[must_use]
    pub fn agent(mut self, agent: AgentSetup) -> Self {
        self.agents.push(agent);
        self
    }

    /// With agents `a`, `b`, … along the equator, a degree apart.
    #[must_use]
    pub fn agents(mut self, count: u8) -> Self {
        for index in 0..count {
            let id = char::from(b'a' + index).to_string();
            self.agents.push(AgentSetup::at(&id, 0.0, f64::from(index)));
        }
        self
    }

    /// With at most this many tasks waiting.
    #[must_use]
    pub fn pending_max(mut self, pending_max: u64) -> Self {
        self.core.pending_max = pending_max;
        self
    }

    /// Starts everything and waits until every agent that starts with it is online.
    ///
    /// # Panics
    /// When something does not start, or an agent does not come online.
    #[must_use]
    pub fn start(mut self) -> Cluster {
        let scratch = Scratch::new();
        let folder = scratch.path().to_path_buf();
        let join_token_file = scratch.join("join-token");
        write_private(&join_token_file, JOIN_TOKEN);
        let broker = (self.kind == BrokerKind::Mosquitto)
            .then(|| Mosquitto::new(&folder, self.agents.iter().map(|agent| agent.id.as_str())));
        self.core.external_broker = broker.as_ref().map(Mosquitto::address);
        let core = CoreProcess::new(&self.core, &join_token_file, &folder);
        let around =
            Surroundings { kind: self.kind, broker: core.broker(), join_token_file, folder };
        let agents = self.agents.into_iter().map(|agent| Agent::new(agent, &around)).collect();
        let evidence = Evidence::at(scratch.join("evidence"));
        let mut cluster =
            Cluster { api: core.api, kind: self.kind, agents, core, broker, evidence, scratch };
        cluster.start();
        cluster
    }
}

/// A task that runs a script and leaves evidence, to be tried once.
#[must_use]
pub fn once(cluster: &Cluster, script: &str) -> Value {
    let retry = serde_json::json!({"retry": {"attempts_max": 1}});
    spec::with(spec::task(cluster.evidence.run(script)), retry)
}

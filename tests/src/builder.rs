//! Says what a cluster is to be made of, and makes it.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::agent::{Agent, AgentSetup, Surroundings};
use crate::broker::{BrokerKind, Mosquitto, PUBLISHER};
use crate::cluster::Cluster;
use crate::core::{CoreProcess, CoreSetup};
use crate::evidence::Evidence;
use crate::hosts::Hosts;
use crate::scratch::{Scratch, write_private};
use crate::spec;

/// The token with which agents join in every test.
pub const JOIN_TOKEN: &str = "the join token of a cluster under test";

/// The host of the core, and of a broker that is a process of its own.
pub const CORE_HOST: &str = "core";
/// As [`CORE_HOST`].
pub const BROKER_HOST: &str = "broker";

/// A cluster that is not there yet.
#[derive(Debug)]
pub struct ClusterBuilder {
    kind: BrokerKind,
    core: CoreSetup,
    agents: Vec<AgentSetup>,
    broker_host: Option<Ipv4Addr>,
}

impl ClusterBuilder {
    /// A core with this broker, and no agents.
    #[must_use]
    pub fn new(kind: BrokerKind) -> Self {
        Self { kind, core: CoreSetup::default(), agents: Vec::new(), broker_host: None }
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

    /// With a heartbeat every so often, in milliseconds.
    #[must_use]
    pub fn heartbeat_ms(mut self, heartbeat_ms: u64) -> Self {
        self.core.heartbeat_ms = heartbeat_ms;
        self
    }

    /// With all times as they are when nobody configures any, for the core and the agents that are
    /// here already.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.core = CoreSetup { patient: true, heartbeat_ms: 5_000, ..self.core };
        self.agents = self.agents.into_iter().map(AgentSetup::patient).collect();
        self
    }

    /// With agents that come to the embedded broker by TLS.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.core.tls = true;
        self
    }

    /// With a machine of somebody else's that may publish: [`PUBLISHER`], to `factory/#`.
    #[must_use]
    pub fn publisher(mut self) -> Self {
        self.core.publisher = true;
        self
    }

    /// Starts everything and waits until every agent that starts with it is online.
    ///
    /// # Panics
    /// When something does not start, or an agent does not come online.
    #[must_use]
    pub fn start(self) -> Cluster {
        let mut cluster = self.lay_out();
        cluster.start();
        cluster
    }

    /// Makes a cluster in which everything has a host of its own: `core`, `broker` when that is a
    /// process of its own, and each agent under its id. Nothing is started yet. The thread enters
    /// the core's network, where alone the core can be asked.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn lay_out_on(mut self, hosts: &mut Hosts) -> Cluster {
        self.core.host = Some(hosts.add(CORE_HOST));
        self.broker_host = (self.kind == BrokerKind::Mosquitto).then(|| hosts.add(BROKER_HOST));
        for agent in &self.agents {
            hosts.add(&agent.id);
        }
        hosts.enter(CORE_HOST);
        let mut cluster = self.lay_out();
        let folder = cluster.scratch.path();
        cluster.core.daemon.enter_by(hosts.host(CORE_HOST).entry(folder));
        if let Some(broker) = &mut cluster.broker {
            broker.daemon().enter_by(hosts.host(BROKER_HOST).entry(folder));
        }
        for agent in &mut cluster.agents {
            agent.daemon.enter_by(hosts.host(&agent.setup.id).entry(folder));
        }
        cluster
    }

    /// As [`Self::lay_out_on`], and starts everything as [`Self::start`] does.
    ///
    /// # Panics
    /// When something does not start, or an agent does not come online.
    #[must_use]
    pub fn start_on(self, hosts: &mut Hosts) -> Cluster {
        let mut cluster = self.lay_out_on(hosts);
        cluster.start();
        cluster
    }

    /// Makes it, and starts nothing yet.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn lay_out(mut self) -> Cluster {
        let scratch = Scratch::new();
        let folder = scratch.path().to_path_buf();
        let join_token_file = scratch.join("join-token");
        write_private(&join_token_file, JOIN_TOKEN);
        let broker = (self.kind == BrokerKind::Mosquitto).then(|| {
            let agents = self.agents.iter().map(|agent| agent.id.as_str());
            let publisher = self.core.publisher.then_some(PUBLISHER);
            Mosquitto::new(&folder, agents.chain(publisher), self.broker_host)
        });
        self.core.external_broker = broker.as_ref().map(Mosquitto::address);
        let core = CoreProcess::new(&self.core, &join_token_file, &folder);
        let around = Surroundings {
            kind: self.kind,
            broker: core.broker(),
            authority: core.certificates().map(|files| files.authority.clone()),
            join_token_file,
            folder,
        };
        let agents = self.agents.into_iter().map(|agent| Agent::new(agent, &around)).collect();
        let evidence = Evidence::at(scratch.join("evidence"));
        Cluster { api: core.api, kind: self.kind, agents, core, broker, evidence, scratch }
    }
}

/// A task that runs a script and leaves evidence, to be tried once.
#[must_use]
pub fn once(cluster: &Cluster, script: &str) -> Value {
    let retry = serde_json::json!({"retry": {"attempts_max": 1}});
    spec::with(spec::task(cluster.evidence.run(script)), retry)
}

//! The port through which the driver speaks to agents. Nothing it is given may get lost for good
//! by being lost here: the protocol says everything again.

use cloud_core_logic::change::Credential;
use shared::id::AgentId;
use shared::wire::Downlink;

/// The way to the agents. Never blocks; what cannot be sent now is dropped and counted.
pub trait Outbound: Send {
    /// A credential is in force from now on: the broker is to let the agent in with it, and what
    /// is said with it is to be believed. Called after the credential is on disk.
    fn put_credential(&mut self, agent: &AgentId, credential: &Credential);

    /// A credential is void from now on: what is said with it is not to be believed, and its agent's
    /// connection is to end. Called after that is on disk.
    fn remove_credential(&mut self, agent: &AgentId);

    /// The agent may join again.
    fn readmit(&mut self, agent: &AgentId);

    /// Sends a message, sealed with the agent's own key.
    fn send(&mut self, agent: &AgentId, message: &Downlink);

    /// Sends the answer to a join, sealed with the join key.
    fn answer_join(&mut self, agent: &AgentId, message: &Downlink);
}

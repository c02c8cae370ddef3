//! How a connection is made: as whom, and over what. The only place that knows the configuration
//! of the link below.

use std::time::Duration;

use shared::id::AgentId;
use shared::wire::Topic;
use shared_runtime::link::{
    Believed, Link, LinkConfig, LinkConfigError, LinkEvents, LinkSender, Reached, Unreached, Will,
};
use shared_runtime::seal::BrokerPassword;

use crate::config::Config;

/// Who calls, and what the broker publishes if the call breaks.
pub struct Caller {
    /// MQTT client id.
    pub client_id: String,
    /// MQTT user name at the core's own broker.
    pub username: String,
    /// MQTT password at the core's own broker.
    pub password: BrokerPassword,
    /// The last will.
    pub will: Option<Will>,
    /// A time that was believed, for certificates.
    pub believed: Option<Believed>,
}

/// Makes a link. A test gives one in memory.
pub type Dial = Box<dyn FnMut(Caller) -> Result<(LinkSender, LinkEvents), LinkConfigError> + Send>;

/// Links over MQTT, as configured.
#[must_use]
pub fn mqtt(config: &Config) -> Dial {
    let (broker, tls) = (config.broker.clone(), config.tls.clone());
    let (user, topic) = (config.broker_user.clone(), down_topic(&config.id));
    Box::new(move |caller| {
        let mut link =
            LinkConfig::for_agent(broker.host.clone(), broker.port, caller.client_id.clone());
        (link.tls, link.believed) = (tls.clone(), caller.believed);
        // An external broker's users are its operator's, whatever the agent's credential is.
        let (username, password) = match &user {
            Some(user) => (user.username.clone(), user.password.clone()),
            None => (caller.username, caller.password),
        };
        (link.username, link.password) = (Some(username), Some(password));
        Link::start(link, vec![topic.clone()], caller.will)
    })
}

/// Looks whether the broker can be reached, as an agent would reach it.
///
/// # Errors
/// What went wrong first.
pub fn reach(
    config: &Config,
    believed: Believed,
    patience: Duration,
) -> Result<Reached, Unreached> {
    let broker = &config.broker;
    let id = config.id.as_str().to_owned();
    let link = LinkConfig::for_agent(broker.host.clone(), broker.port, id);
    let link = LinkConfig { tls: config.tls.clone(), believed: Some(believed), ..link };
    shared_runtime::link::reach(&link, patience)
}

/// The topic on which the core speaks to an agent.
pub(super) fn down_topic(agent: &AgentId) -> String {
    Topic::Down(agent.clone()).to_string()
}

/// The topic on which an agent speaks to the core.
pub(super) fn up_topic(agent: &AgentId) -> String {
    Topic::Up(agent.clone()).to_string()
}

/// The topic of an agent's last will.
pub(super) fn will_topic(agent: &AgentId) -> String {
    Topic::Will(agent.clone()).to_string()
}

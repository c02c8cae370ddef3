//! Between the driver and the MQTT link: seals what goes out, believes only what carries the
//! right seal, and passes it on in order. What it cannot pass on it drops and counts; the
//! protocol says it again.

mod credentials;
mod doorman;
#[cfg(test)]
mod malformed;
mod sender;

use cloud_core_logic::Input;
use shared::wire::Uplink;
use shared_runtime::link::{LinkEvent, LinkEvents};

use crate::driver::Uplinks;
use crate::observe::{DropCause, LinkChanged, LinkState, LogsDropped, MessageDropped, Metrics};

pub use credentials::Credentials;
pub use doorman::{Doorman, Dropped};
pub use sender::SealedSender;

/// Passes on what the link tells, until the link ends or the driver is gone. Waits when the
/// driver is behind; the link's own bound and then the broker hold back the rest.
pub async fn listen(mut events: LinkEvents, doorman: Doorman, uplinks: Uplinks, metrics: Metrics) {
    while let Some(event) = events.recv().await {
        let input = match event {
            LinkEvent::Up => {
                metrics.record(LinkChanged { state: LinkState::Up });
                Input::Broker { up: true }
            }
            LinkEvent::Down { reason } => {
                metrics.record(LinkChanged { state: LinkState::Down(&reason) });
                Input::Broker { up: false }
            }
            LinkEvent::Refused { reason } => {
                metrics.record(LinkChanged { state: LinkState::Refused(&reason) });
                Input::Broker { up: false }
            }
            LinkEvent::Unsent { topic, reason } => {
                metrics.record(MessageDropped::sent(DropCause::BrokerRefused, &topic, &reason));
                continue;
            }
            LinkEvent::Message { topic, payload } => match doorman.open(&topic, &payload) {
                // Logs decide nothing, and no decision waits for them.
                Ok(Input::Uplink { agent, message: Uplink::Logs(chunk) }) => {
                    let assignment = chunk.assignment;
                    if let Err(cause) = uplinks.offer_logs(agent.clone(), chunk) {
                        metrics.record(LogsDropped { agent: &agent, assignment, cause });
                    }
                    continue;
                }
                Ok(input) => input,
                Err(dropped) => {
                    let Dropped { cause, detail } = &dropped;
                    metrics.record(MessageDropped::received(*cause, &topic, detail));
                    continue;
                }
            },
        };
        if uplinks.send(input).await.is_err() {
            break;
        }
    }
}

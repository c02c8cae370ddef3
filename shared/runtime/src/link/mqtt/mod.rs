//! A link over MQTT 5: connects, and after every loss builds a new client and connects again.
//! This folder is the only place that names rumqttc; nothing of a connection outlives it, because
//! the client's own resending has been seen to lose, repeat and hang.

mod options;
mod reason;
mod session;
mod topics;

use std::time::Duration;

use rumqttc::MqttOptions;
use shared::backoff::delay_ms;
use shared::time::Monotonic;
use tracing::Instrument;

use super::queue::{Closing, EventQueue, LinkEvents};
use super::sender::{LinkSender, Outlet};
use super::{LinkConfig, LinkConfigError, LinkDown, LinkEvent, LinkRefused, Will};
use crate::clock::Clock;
use session::{Ending, Session};

pub use topics::{Heard, TopicEvent, listen};

/// The first wait after a connection that was steady, in milliseconds: a broker that was restarted
/// is found again at once.
const FIRST_RETRY_MS: u64 = 100;
/// How long a connection must have been up to count as steady, in milliseconds. Two clients with
/// one id, who push each other out, never get there.
const STEADY_MS: u64 = 30_000;

/// Starts a link over MQTT 5 in a task of its own, which ends with the last [`LinkSender`].
/// `subscriptions` are topic filters, asked for anew on every connection; `will` is left with the
/// broker on every connection.
///
/// # Errors
///
/// When the configuration cannot work, whatever the broker does: a bound of zero, a certificate
/// that cannot be read.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn start(
    config: LinkConfig,
    subscriptions: Vec<String>,
    will: Option<Will>,
) -> Result<(LinkSender, LinkEvents), LinkConfigError> {
    config.check()?;
    let options = options::build(&config, will)?;
    let (sender, outlet) = Outlet::new(config.queue_max);
    let (queue, events) = EventQueue::new(config.received_max, config.received_bytes_max);
    let runner = Runner {
        in_flight_max: usize::from(config.in_flight_max),
        backoff: Backoff { failures: 0, max_ms: config.backoff_ms_max },
        clock: Clock::new(),
        told: None,
        options,
        subscriptions,
        outlet,
        events: Closing(queue),
    };
    tokio::spawn(runner.run().instrument(tracing::info_span!("link", broker = config.target())));
    Ok((sender, events))
}

/// Why there is no connection, and whether trying soon makes sense.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Loss {
    Down(LinkDown),
    Refused(LinkRefused),
}

struct Runner {
    in_flight_max: usize,
    backoff: Backoff,
    clock: Clock,
    /// The loss that was last told, if no connection came after it.
    told: Option<Loss>,
    options: MqttOptions,
    subscriptions: Vec<String>,
    // Dropped in this order: events are closed before the owner hears that the link has ended.
    events: Closing,
    outlet: Outlet,
}

impl Runner {
    async fn run(mut self) {
        while !self.outlet.is_stopped() {
            let session = Session::new(
                self.options.clone(),
                &self.subscriptions,
                self.in_flight_max,
                &mut self.outlet,
                &self.events.0,
                &self.clock,
            );
            let (ending, up_since) = session.run().await;
            self.outlet.set_up(false);
            if up_since.is_some() {
                self.told = None;
            }
            let Ending::Lost(loss) = ending else {
                break;
            };
            let wait_ms = self.wait_ms(&loss, up_since);
            self.tell(loss, wait_ms);
            self.wait(Duration::from_millis(wait_ms)).await;
        }
        tracing::debug!("link ended");
    }

    fn wait_ms(&mut self, loss: &Loss, up_since: Option<Monotonic>) -> u64 {
        let now = self.clock.now();
        if up_since.is_some_and(|since| now.mono.since_ms(since) >= STEADY_MS) {
            self.backoff.failures = 0;
        }
        self.backoff.next_ms(matches!(loss, Loss::Refused(_)), now.chance)
    }

    /// Tells the owner, and the log: once for a reason, quietly while it stays the same.
    fn tell(&mut self, loss: Loss, retry_ms: u64) {
        let news = self.told.as_ref().is_none_or(|told| !same_kind(told, &loss));
        let reason = match &loss {
            Loss::Down(reason) => reason.to_string(),
            Loss::Refused(reason) => reason.to_string(),
        };
        if news {
            tracing::warn!(reason, retry_ms, "link down");
        } else {
            tracing::debug!(reason, retry_ms, "link still down");
        }
        match &loss {
            Loss::Down(reason) if news => {
                self.events.0.push_state(LinkEvent::Down { reason: reason.clone() });
            }
            Loss::Down(_) => {}
            Loss::Refused(reason) => {
                self.events.0.push_state(LinkEvent::Refused { reason: reason.clone() });
            }
        }
        self.told = Some(loss);
    }

    /// Waits before the next attempt, dropping what comes in, unless asked to end.
    async fn wait(&mut self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.outlet.discard_until_stopped() => {}
        }
    }
}

/// The same reason, but for its details: an attempt that times out in another place is no news.
fn same_kind(left: &Loss, right: &Loss) -> bool {
    use std::mem::discriminant;
    match (left, right) {
        (Loss::Down(left), Loss::Down(right)) => discriminant(left) == discriminant(right),
        (Loss::Refused(left), Loss::Refused(right)) => left == right,
        _ => false,
    }
}

/// How long to wait before the next attempt.
struct Backoff {
    failures: u32,
    max_ms: u64,
}

impl Backoff {
    /// Grows from [`FIRST_RETRY_MS`] to the maximum. After a refusal it starts at a quarter of the
    /// maximum: the broker is there, and hammering it would only keep it busy.
    fn next_ms(&mut self, refused: bool, chance: u64) -> u64 {
        self.failures = self.failures.saturating_add(1);
        let first_ms = if refused { self.max_ms / 4 } else { FIRST_RETRY_MS };
        delay_ms(self.failures, first_ms.max(1), self.max_ms, chance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_retry_is_quick_unless_the_broker_refuses() {
        let next = |refused| Backoff { failures: 0, max_ms: 30_000 }.next_ms(refused, 7);
        assert!((50..=100).contains(&next(false)));
        assert!((3_750..=7_500).contains(&next(true)));
    }

    #[test]
    fn waits_grow_to_the_maximum_and_no_further() {
        let mut backoff = Backoff { failures: 0, max_ms: 30_000 };
        let waits: Vec<u64> = (0..100).map(|chance| backoff.next_ms(false, chance)).collect();
        assert!(waits[8] >= 12_800 && waits.iter().all(|wait| *wait <= 30_000), "{waits:?}");
        assert!(Backoff { failures: 0, max_ms: 0 }.next_ms(true, 1) == 0);
    }

    #[test]
    fn another_detail_is_no_news_but_another_reason_is() {
        let network = |detail: &str| Loss::Down(LinkDown::Network { detail: detail.to_owned() });
        assert!(same_kind(&network("a"), &network("b")));
        assert!(!same_kind(&network("a"), &Loss::Down(LinkDown::NoAnswer)));
        assert!(!same_kind(&network("a"), &Loss::Refused(LinkRefused::TakenOver)));
    }
}

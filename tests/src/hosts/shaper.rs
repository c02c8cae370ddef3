//! Delay and loss where the kernel has no `netem`: every packet of a host waits in a queue of the
//! router's packet filter until this thread lets it go, late or never. The hosts' own TCP sees
//! real packets that are really late and really lost.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fd::OwnedFd;
use rustix::io::Errno;

use super::host;
use super::nfqueue::{Queues, Verdict, Waiting};
use super::weather::Shape;
use crate::random::Random;

/// How long the thread sleeps when nothing is under way.
const IDLE: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Shared {
    shapes: Mutex<BTreeMap<u16, Shape>>,
    over: AtomicBool,
}

impl Shared {
    fn shapes(&self) -> MutexGuard<'_, BTreeMap<u16, Shape>> {
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that holds packets back.
#[derive(Debug)]
pub struct Shaper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Shaper {
    /// Starts it in the router's network, for queues 1 to `queues`.
    ///
    /// # Errors
    /// When the kernel has no packet queues.
    pub fn start(router: OwnedFd, queues: u16) -> Result<Self, String> {
        let shared = Arc::new(Shared::default());
        let (ready, is_ready) = std::sync::mpsc::channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            host::enter(&router);
            let opened = Queues::open().and_then(|open| {
                (1..=queues).try_for_each(|queue| open.bind(queue))?;
                Ok(open)
            });
            match opened {
                Ok(queues) => {
                    let _ = ready.send(Ok(()));
                    shape(&queues, &theirs);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        let shaper = Self { shared, thread: Some(thread) };
        match is_ready.recv() {
            Ok(Ok(())) => Ok(shaper),
            other => Err(format!("the kernel has no packet queues (NFQUEUE): {other:?}")),
        }
    }

    /// Treats the packets of a queue like this from now on.
    pub fn set(&self, queue: u16, shape: Shape) {
        self.shared.shapes().insert(queue, shape);
    }
}

impl Drop for Shaper {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Holds packets back until it is over. The kernel drops what is left then.
fn shape(queues: &Queues, shared: &Shared) {
    let mut random = Random::seeded(Random::fresh_seed());
    let mut under_way: BinaryHeap<Reverse<(Instant, u16, u32)>> = BinaryHeap::new();
    while !shared.over.load(Ordering::Relaxed) {
        let now = Instant::now();
        while let Some(&Reverse((due, queue, id))) = under_way.peek() {
            if due > now {
                break;
            }
            under_way.pop();
            decide(queues, Waiting { queue, id }, Verdict::Accept);
        }
        let next = under_way.peek().map_or(IDLE, |next| next.0.0.saturating_duration_since(now));
        let came = match queues.wait(next.min(IDLE)) {
            Ok(came) => came,
            Err(error) => panic!("the packet queues are gone: {error}"),
        };
        let now = Instant::now();
        for packet in came {
            let shape = shared.shapes().get(&packet.queue).copied().unwrap_or_default();
            if random.between(0, 999_999) < (shape.loss_percent * 10_000.0) as u64 {
                decide(queues, packet, Verdict::Drop);
            } else {
                let due = now + late_by(shape, &mut random);
                under_way.push(Reverse((due, packet.queue, packet.id)));
            }
        }
    }
}

fn late_by(shape: Shape, random: &mut Random) -> Duration {
    let jitter_us = u64::try_from(shape.jitter.as_micros()).unwrap_or(0);
    let late = shape.delay + Duration::from_micros(random.between(0, 2 * jitter_us));
    late.saturating_sub(shape.jitter)
}

fn decide(queues: &Queues, packet: Waiting, verdict: Verdict) {
    match queues.decide(packet, verdict) {
        // The kernel has forgotten it: its device is gone.
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => panic!("the packet queues are gone: {error}"),
    }
}

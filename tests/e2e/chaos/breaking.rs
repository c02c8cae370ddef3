//! What dies and when: one thing after the other, often several at a time, sometimes all at once;
//! each comes back after a while.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::daemon::Daemon;
use tests::{Cluster, FaultyLink, Random};

/// What can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Core,
    Broker,
    Agent(usize),
    Link(usize),
}

/// Breaks and mends.
#[derive(Debug)]
pub struct Breaker {
    random: Random,
    /// What is broken, and when it is mended.
    broken: BTreeMap<Part, Instant>,
    counts: BTreeMap<&'static str, u64>,
}

impl Breaker {
    pub fn new(random: Random) -> Self {
        Self { random, broken: BTreeMap::new(), counts: BTreeMap::new() }
    }

    /// Breaks things until then, and mends all of them in the end.
    pub fn break_until(&mut self, until: Instant, cluster: &mut Cluster) {
        let mut next = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let now = Instant::now();
            self.mend(cluster, now);
            if now >= next {
                next = now + Duration::from_millis(self.random.between(100, 1_500));
                self.break_one(cluster);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mend(cluster, until + Duration::from_secs(3_600));
    }

    fn mend(&mut self, cluster: &mut Cluster, now: Instant) {
        let due: Vec<Part> =
            self.broken.iter().filter(|(_, at)| **at <= now).map(|(part, _)| *part).collect();
        for part in due {
            self.broken.remove(&part);
            match part {
                Part::Core => wake_or(&mut cluster.core.daemon),
                Part::Agent(index) => wake_or(&mut cluster.agents[index].daemon),
                Part::Link(index) => cluster.agents[index].link().restore(),
                Part::Broker => {
                    if let Some(broker) = &mut cluster.broker {
                        broker.start();
                    }
                }
            }
        }
    }

    fn break_one(&mut self, cluster: &mut Cluster) {
        let agent = self.random.between(0, cluster.agents.len() as u64 - 1) as usize;
        let part = match self.random.between(1, 20) {
            1..=5 => Part::Core,
            6..=8 if cluster.broker.is_some() => Part::Broker,
            6..=15 => Part::Agent(agent),
            16..=19 => Part::Link(agent),
            _ => return self.break_all(cluster),
        };
        if self.broken.contains_key(&part) {
            return;
        }
        let way = self.random.between(1, 16);
        let mut away_ms = 3_000;
        match part {
            Part::Core if way <= 4 => self.freeze(&cluster.core.daemon, "cores frozen"),
            Part::Core => self.kill(&mut cluster.core.daemon, "cores killed"),
            Part::Broker => {
                if let Some(broker) = &mut cluster.broker {
                    self.kill(broker.daemon(), "brokers killed");
                }
            }
            Part::Agent(_) => {
                self.break_agent(cluster, agent, way);
                away_ms = 6_000;
            }
            Part::Link(_) => {
                let link = cluster.agents[agent].link();
                let (what, how): (_, fn(&FaultyLink)) = match way {
                    1..=8 => ("links stalled", FaultyLink::stall),
                    _ => ("links cut", FaultyLink::cut),
                };
                how(link);
                self.count(what);
                away_ms = 6_000;
            }
        }
        let back = Instant::now() + Duration::from_millis(self.random.between(0, away_ms));
        self.broken.insert(part, back);
    }

    fn break_agent(&mut self, cluster: &mut Cluster, agent: usize, way: u64) {
        let id = cluster.agents[agent].setup.id.clone();
        match way {
            1 => {
                cluster.replace_disk(&id);
                self.count("disks replaced");
            }
            2..=5 => {
                cluster.power_off(&id);
                self.count("boards without power");
            }
            6..=8 => self.freeze(&cluster.agents[agent].daemon, "agents frozen"),
            _ => self.kill(&mut cluster.agents[agent].daemon, "agents killed"),
        }
    }

    fn break_all(&mut self, cluster: &mut Cluster) {
        cluster.strike();
        self.count("times all at once");
        let parts = (0..cluster.agents.len()).map(Part::Agent).chain([Part::Core]);
        let broker = cluster.broker.as_ref().map(|_| Part::Broker);
        for part in parts.chain(broker) {
            let back = Instant::now() + Duration::from_millis(self.random.between(0, 1_000));
            self.broken.insert(part, back);
        }
    }

    fn kill(&mut self, daemon: &mut Daemon, what: &'static str) {
        daemon.kill();
        self.count(what);
    }

    fn freeze(&mut self, daemon: &Daemon, what: &'static str) {
        daemon.signal(Signal::STOP);
        self.count(what);
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

/// Wakes a daemon that was frozen, starts one that was killed.
fn wake_or(daemon: &mut Daemon) {
    match daemon.pid() {
        Some(_) => daemon.signal(Signal::CONT),
        None => daemon.start(),
    }
}

impl fmt::Display for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> =
            self.counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        f.write_str(&counts.join(", "))
    }
}

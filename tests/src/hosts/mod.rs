//! Separate hosts on one machine: each a network namespace with mounts of its own, all on a router
//! that is a namespace too. Cables can be pulled, packets refused, lost or late, hosts lose their
//! power, get a small disk or a wrong clock. Nothing of this machine's own network or mounts is
//! touched, nothing has a name that another test could want, and the kernel takes everything away
//! when its last process is gone.

mod board;
mod host;
mod nfqueue;
mod shaper;
pub mod system;
pub mod weather;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal, kill_process};

pub use board::{TRUE_MONOTONIC, WallClock, library as clock_library};
pub use host::Host;
use shaper::Shaper;
use weather::{Passage, Shape, port};

use crate::wait::{check, eventually};

/// Which way packets go, seen from a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From it.
    Out,
    /// To it.
    In,
}

/// How delay and loss are made here.
#[derive(Debug)]
enum Means {
    Untried,
    /// The kernel's own.
    Netem,
    /// A thread of this process that decides about every packet.
    Queues(Shaper),
}

/// Hosts, and the network between them.
#[derive(Debug)]
pub struct Hosts {
    router: Host,
    hosts: Vec<Host>,
    passages: BTreeMap<u8, Passage>,
    shaped: BTreeSet<u8>,
    means: Means,
    /// The network that the thread of the test was in before it entered one of these.
    home: Option<OwnedFd>,
}

/// The most hosts.
const HOSTS_MAX: usize = 12;

impl Hosts {
    /// A network without hosts; nothing where that cannot be, and then it is said why.
    ///
    /// # Panics
    /// When it should be possible and is not.
    #[must_use]
    pub fn or_skip() -> Option<Self> {
        if let Err(why) = system::check() {
            system::skip(&why);
            return None;
        }
        let router = Host::make("router", 0).unwrap_or_else(|why| panic!("{why}"));
        router.run("echo 1 > /proc/sys/net/ipv4/ip_forward");
        let means = Means::Untried;
        let (passages, shaped) = (BTreeMap::new(), BTreeSet::new());
        Some(Self { router, hosts: Vec::new(), passages, shaped, means, home: None })
    }

    /// Adds a host with a cable to the router; its address.
    ///
    /// # Panics
    /// When the system refuses, or there are enough already.
    pub fn add(&mut self, name: &str) -> Ipv4Addr {
        assert!(self.hosts.len() < HOSTS_MAX && self.find(name).is_none(), "another host {name}");
        let index = self.hosts.len() as u8 + 1;
        let host = Host::make(name, index).unwrap_or_else(|why| panic!("{why}"));
        let (port, keeper) = (port(index), host.keeper());
        let (address, gateway) = (host.address(), host.gateway());
        self.router.run(&format!(
            "ip link add {port} type veth peer name eth0 netns {keeper}
             ip address add {gateway}/24 dev {port}
             ip link set {port} up"
        ));
        host.run(&format!(
            "ip address add {address}/24 dev eth0
             ip link set eth0 up
             ip route add default via {gateway}"
        ));
        self.hosts.push(host);
        self.passages.insert(index, Passage::Open);
        address
    }

    fn find(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name() == name)
    }

    /// A host.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn host(&self, name: &str) -> &Host {
        self.find(name).unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// A command that will run on a host.
    #[must_use]
    pub fn command(&self, name: &str, program: &Path) -> Command {
        self.host(name).command(program)
    }

    /// Moves the thread of the test, and those it starts from now on, into a host's network, so
    /// that it reaches what listens there on loopback. It comes back when this is dropped.
    pub fn enter(&mut self, name: &str) {
        self.home.get_or_insert_with(host::network_of_this_thread);
        host::enter(&self.host(name).network());
    }

    /// Does something in a host's network, in a thread of its own, and waits for it.
    pub fn within<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let network = self.host(name).network();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                host::enter(&network);
                work()
            });
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Refuses a host's packets, both ways: connections are reset as soon as either end says
    /// anything.
    pub fn cut(&mut self, name: &str) {
        self.set_passage(name, Passage::Refused);
    }

    /// Loses a host's packets, both ways, without a word: connections stay open and are dead.
    pub fn half_open(&mut self, name: &str) {
        self.set_passage(name, Passage::Lost);
    }

    /// Loses a host's packets one way, without a word.
    pub fn cut_one_way(&mut self, name: &str, way: Way) {
        let passage = match way {
            Way::Out => Passage::LostFromHost,
            Way::In => Passage::LostToHost,
        };
        self.set_passage(name, passage);
    }

    /// Pulls the cable out.
    pub fn unplug(&mut self, name: &str) {
        let port = port(self.host(name).index());
        self.router.run(&format!("ip link set {port} down"));
    }

    /// Lets everything pass again, puts the cable back in, and takes away delay and loss.
    pub fn heal(&mut self, name: &str) {
        let index = self.host(name).index();
        self.router.run(&format!("ip link set {} up", port(index)));
        self.set_passage(name, Passage::Open);
        if self.shaped.remove(&index) {
            self.shape(name, Shape::default());
            self.apply_rules();
        }
    }

    fn set_passage(&mut self, name: &str, passage: Passage) {
        let index = self.host(name).index();
        self.passages.insert(index, passage);
        self.apply_rules();
    }

    fn apply_rules(&self) {
        let passages: Vec<(u8, Passage)> =
            self.passages.iter().map(|(&index, &passage)| (index, passage)).collect();
        let queued: Vec<u8> = match self.means {
            Means::Queues(_) => self.shaped.iter().copied().collect(),
            Means::Untried | Means::Netem => Vec::new(),
        };
        let mut command = self.router.command("iptables-restore");
        let applied = system::run(&mut command, &weather::rules(&passages, &queued));
        applied.unwrap_or_else(|why| panic!("the router does not take its rules: {why}"));
    }

    /// Makes every packet of a host late, and loses some, each way; says how that is done.
    ///
    /// # Errors
    /// When neither the kernel nor this process can do it.
    pub fn delay(
        &mut self,
        name: &str,
        delay: Duration,
        jitter: Duration,
        loss_percent: f64,
    ) -> Result<&'static str, String> {
        let index = self.host(name).index();
        if matches!(self.means, Means::Untried) {
            self.means = self.find_means()?;
        }
        self.shaped.insert(index);
        self.shape(name, Shape { delay, jitter, loss_percent });
        self.apply_rules();
        Ok(match self.means {
            Means::Queues(_) => {
                "this kernel has no netem; packets are delayed and lost by the test, through NFQUEUE"
            }
            Means::Untried | Means::Netem => "packets are delayed and lost by netem",
        })
    }

    fn find_means(&self) -> Result<Means, String> {
        let probe = "tc qdisc add dev lo root netem delay 1ms && tc qdisc del dev lo root";
        if self.router.try_run(probe).is_ok() {
            return Ok(Means::Netem);
        }
        let shaper = Shaper::start(self.router.network(), HOSTS_MAX as u16);
        shaper.map(Means::Queues).map_err(|why| format!("this kernel has no netem, and {why}"))
    }

    fn shape(&self, name: &str, shape: Shape) {
        let host = self.host(name);
        match &self.means {
            Means::Untried => {}
            Means::Queues(shaper) => shaper.set(u16::from(host.index()), shape),
            Means::Netem => {
                let set = |device: &str| match shape.is_plain() {
                    true => format!("tc qdisc del dev {device} root"),
                    false => format!("tc qdisc replace dev {device} root {}", shape.netem()),
                };
                self.router.run(&set(&port(host.index())));
                host.run(&set("eth0"));
            }
        }
    }

    /// Takes the power from these hosts at one instant: everything that runs on them is gone, and
    /// nothing on them sees anything else die. Whoever started those processes still has to wait
    /// for them.
    pub fn power_cut(&self, names: &[&str]) {
        let processes = || -> BTreeSet<i32> {
            let hosts = names.iter().map(|name| self.host(name));
            hosts.flat_map(Host::processes).map(Pid::as_raw_pid).collect()
        };
        // A supervisor that saw its task killed would write that down; a power cut gives it no
        // time to.
        let mut frozen = BTreeSet::new();
        loop {
            let fresh: Vec<i32> = processes().difference(&frozen).copied().collect();
            if fresh.is_empty() {
                break;
            }
            signal(&fresh, Signal::STOP);
            frozen.extend(fresh);
        }
        eventually("everything to lose its power", || {
            let left: Vec<i32> = processes().into_iter().collect();
            signal(&left, Signal::KILL);
            check(left.is_empty(), || format!("{left:?}"))
        });
    }
}

fn signal(processes: &[i32], signal: Signal) {
    for process in processes.iter().filter_map(|&id| Pid::from_raw(id)) {
        // It may have ended meanwhile.
        let _ = kill_process(process, signal);
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            host::enter(home);
        }
        for host in &self.hosts {
            let left: Vec<i32> = host.processes().into_iter().map(Pid::as_raw_pid).collect();
            signal(&left, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests;

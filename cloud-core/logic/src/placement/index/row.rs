//! One agent as the index sees it: numbers, all of them exact. What changes with every heartbeat
//! and reservation is apart from what changes with a hello.

use shared::api::AgentStatus;

use super::super::score::load_term;
use super::super::terms::free_share;
use super::bounds::merits;
use super::dictionary::{Dictionary, Token};
use crate::fleet::{Agent, Number};

/// Where an agent's id stands among all ids: of two agents, the one with the smaller id never has
/// the larger order. Equal orders are told apart by the ids themselves.
pub(super) type Order = u32;

/// What changes while an agent works.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vital {
    /// It may be given something at all: nothing of its standing is in the way.
    pub(super) ready: bool,
    /// What is in the way, one bit for each of [`standing`].
    pub(super) standing: u8,
    /// The point of the unit sphere where it is; infinitely far away when nobody knows.
    pub(super) at: [f64; 3],
    /// The load term of its score.
    pub(super) load: f64,
    /// Its round trip in milliseconds; infinite before it is measured.
    pub(super) latency_ms: f64,
    /// Its cpu, memory, disk and bandwidth.
    pub(super) capacity: [u64; 4],
    /// What of them is free.
    pub(super) free: [u64; 4],
}

/// What an agent measures, as far as it is scored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    /// The load term of its score.
    pub(super) load: f64,
    /// Its round trip in milliseconds; infinite before it is measured.
    pub(super) latency_ms: f64,
    /// Its free shares of cpu and memory, which it does not measure: its merits need them.
    shares: [f64; 2],
}

impl Measured {
    pub(super) fn of(agent: &Agent) -> Self {
        let (capacity, used) = (agent.facts.capacity.scalars(), agent.used.scalars());
        let share = |at: usize| {
            free_share(capacity[at].saturating_sub(used[at]) as f64, capacity[at] as f64)
        };
        Self {
            load: load_term(agent),
            latency_ms: agent.signal.latency_ms().unwrap_or(f64::INFINITY),
            shares: [share(0), share(1)],
        }
    }

    /// Had the same agent measured this instead.
    pub(super) fn instead(&self, load: f64, latency_ms: f64) -> Self {
        Self { load, latency_ms, ..*self }
    }

    /// Load, latency and merits as bounds, in this order.
    pub(super) fn bounds(&self) -> [f64; 4] {
        let [merit, packed] = merits(self.load, self.shares, self.latency_ms);
        [self.load, -self.latency_ms, merit, packed]
    }
}

/// Where nobody knows.
pub(super) const NOWHERE: [f64; 3] = [f64::INFINITY; 3];

/// What keeps an agent from being given anything, whatever is asked for: the places of bits.
pub(super) mod standing {
    use super::{Agent, AgentStatus};

    pub(in super::super) const OFFLINE: usize = 0;
    pub(in super::super) const SUSPECT: usize = 1;
    pub(in super::super) const CORDONED: usize = 2;
    pub(in super::super) const DRAINING: usize = 3;
    pub(in super::super) const QUARANTINED: usize = 4;
    /// It holds as many assignments as it may.
    pub(in super::super) const FULL: usize = 5;
    /// It may hold none.
    pub(in super::super) const SHUT: usize = 6;
    pub(in super::super) const COUNT: usize = 7;

    pub(super) fn of(agent: &Agent) -> u8 {
        let (status, flags, held_max) = (agent.status, agent.flags, agent.facts.tasks_max);
        let holds: [(usize, bool); COUNT] = [
            (OFFLINE, status == AgentStatus::Offline),
            (SUSPECT, status == AgentStatus::Suspect),
            (CORDONED, flags.cordoned),
            (DRAINING, flags.draining),
            (QUARANTINED, flags.quarantined),
            (FULL, agent.assignments >= held_max),
            (SHUT, held_max == 0),
        ];
        holds.into_iter().fold(0, |standing, (place, holds)| standing | u8::from(holds) << place)
    }
}

impl Vital {
    pub(super) fn of(agent: &Agent) -> Self {
        let (capacity, used) = (agent.facts.capacity.scalars(), agent.used.scalars());
        let standing = standing::of(agent);
        Self {
            ready: standing == 0,
            standing,
            at: agent.facts.position.map_or(NOWHERE, |place| place.unit_vector()),
            load: load_term(agent),
            latency_ms: agent.signal.latency_ms().unwrap_or(f64::INFINITY),
            capacity,
            free: std::array::from_fn(|index| capacity[index].saturating_sub(used[index])),
        }
    }
}

/// How many of one kind of device an agent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) token: Token,
    /// Never 0.
    pub(super) capacity: u32,
    pub(super) free: u32,
}

/// The devices of an agent. All of its words must be in the dictionary.
pub(super) fn devices(agent: &Agent, dictionary: &Dictionary) -> Vec<Device> {
    let there = agent.facts.capacity.devices.iter().filter(|&(_, &capacity)| capacity > 0);
    there
        .filter_map(|(name, &capacity)| {
            let free = capacity.saturating_sub(agent.used.device(name));
            Some(Device { token: dictionary.device(name)?, capacity, free })
        })
        .collect()
}

/// All of an agent that a block holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) number: Number,
    pub(super) order: Order,
    pub(super) vital: Vital,
    /// In order, each once.
    pub(super) words: Box<[Token]>,
    pub(super) devices: Vec<Device>,
}

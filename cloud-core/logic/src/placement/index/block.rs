//! A block: up to 64 agents as columns, so that one question goes down one column. Words stand
//! transposed: for each word the lanes that have it, one bit each.

use super::ahead::ask_for;
use super::dictionary::{TAINT, Token};
use super::query::Query;
use super::row::{Device, NOWHERE, Order, Row, Vital, standing};
use crate::fleet::Number;

/// The agents of a block: as many as a word has bits.
pub(super) const LANES: usize = 64;

/// One value of each agent.
pub(super) type Column<T> = [T; LANES];

/// The largest amount that a column holds: a signed word becomes a number in one instruction where
/// an unsigned one takes five.
pub(super) const AMOUNT_MAX: u64 = i32::MAX as u64;

/// Up to 64 agents. What stands in lanes that are not taken has no meaning. In this order in memory:
/// what is looked at first, and of all, stands together.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Block {
    /// The node above, and which of its children this is.
    pub(super) parent: u32,
    pub(super) place: u32,
    /// Lanes with an agent.
    pub(super) taken: u64,
    /// Lanes whose agent is ready.
    pub(super) ready: u64,
    /// Lanes with amounts too large for a column; those are in `large`.
    pub(super) wide: u64,
    /// Lanes whose agent has a taint.
    pub(super) tainted: u64,
    /// `None` in a tree that is not kept by place.
    pub(super) at: Option<Box<[Column<f64>; 3]>>,
    pub(super) words: Words,
    pub(super) devices: Vec<Devices>,
    pub(super) free: [Column<u32>; 4],
    pub(super) capacity: [Column<u32>; 4],
    pub(super) load: Column<f64>,
    pub(super) latency_ms: Column<f64>,
    pub(super) number: Column<Number>,
    pub(super) order: Column<Order>,
    pub(super) large: Vec<Large>,
    /// Lanes with each kind of [`standing`].
    pub(super) standing: [u64; standing::COUNT],
}

/// Amounts that no column holds.
#[derive(Debug, Clone)]
pub(super) struct Large {
    pub(super) lane: usize,
    pub(super) capacity: [u64; 4],
    pub(super) free: [u64; 4],
}

/// One kind of device.
#[derive(Debug, Clone)]
pub(super) struct Devices {
    pub(super) token: Token,
    pub(super) capacity: Column<u32>,
    pub(super) free: Column<u32>,
}

/// Which lanes have which word.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    tokens: Vec<Token>,
    lanes: Vec<u64>,
}

impl Words {
    /// The lanes that have a word.
    #[inline]
    pub(super) fn lanes(&self, token: Token) -> u64 {
        self.tokens.binary_search(&token).map_or(0, |index| self.lanes[index])
    }

    /// Every word from `from` on with its lanes.
    pub(super) fn from(&self, from: Token) -> impl Iterator<Item = (Token, u64)> {
        let first = self.tokens.partition_point(|token| *token < from);
        self.tokens[first..].iter().copied().zip(self.lanes[first..].iter().copied())
    }

    /// Bytes on the heap.
    pub(super) fn bytes(&self) -> usize {
        4 * self.tokens.capacity() + 8 * self.lanes.capacity()
    }

    /// Gives lanes a word; says who has it now.
    fn add(&mut self, token: Token, lanes: u64) -> u64 {
        match self.tokens.binary_search(&token) {
            Ok(index) => {
                self.lanes[index] |= lanes;
                self.lanes[index]
            }
            Err(index) => {
                self.tokens.insert(index, token);
                self.lanes.insert(index, lanes);
                lanes
            }
        }
    }

    /// Takes every word from a lane; calls `changed` with each, and with who still has it.
    fn clear(&mut self, lane: usize, mut changed: impl FnMut(Token, u64)) {
        let bit = 1 << lane;
        for (token, lanes) in self.tokens.iter().zip(&mut self.lanes) {
            if *lanes & bit != 0 {
                *lanes &= !bit;
                changed(*token, *lanes);
            }
        }
        let mut kept = self.lanes.iter().map(|lanes| *lanes != 0);
        self.tokens.retain(|_| kept.next().unwrap_or(true));
        self.lanes.retain(|lanes| *lanes != 0);
    }
}

/// Words on their way into a block, by token: who fills many blocks keeps it from one to the next.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    lanes: Vec<u64>,
    tokens: Vec<Token>,
}

impl Gathered {
    fn add(&mut self, token: Token, lanes: u64) {
        let at = (token & !TAINT) as usize;
        if self.lanes.len() <= at {
            self.lanes.resize(at + 1, 0);
        }
        if self.lanes[at] == 0 {
            self.tokens.push(token);
        }
        self.lanes[at] |= lanes;
    }

    /// Calls `each` with every word and its lanes, in the order of the tokens, and is empty again.
    fn take(&mut self, mut each: impl FnMut(Token, u64)) {
        self.tokens.sort_unstable();
        for token in self.tokens.drain(..) {
            each(token, std::mem::take(&mut self.lanes[(token & !TAINT) as usize]));
        }
    }
}

/// The lanes of a mask, in order.
pub(super) fn lanes_of(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        lane
    })
}

impl Block {
    pub(super) fn new(parent: u32, with_places: bool) -> Self {
        Self {
            parent,
            place: 0,
            taken: 0,
            ready: 0,
            wide: 0,
            tainted: 0,
            at: with_places.then(|| Box::new([[0.0; LANES]; 3])),
            words: Words::default(),
            devices: Vec::new(),
            free: [[0; LANES]; 4],
            capacity: [[0; LANES]; 4],
            load: [0.0; LANES],
            latency_ms: [0.0; LANES],
            number: [0; LANES],
            order: [0; LANES],
            large: Vec::new(),
            standing: [0; standing::COUNT],
        }
    }

    /// Asks memory for what a question looks at: its places are elsewhere.
    pub(super) fn ask_for(&self, query: &Query<'_>) {
        ask_for(&self.parent);
        ask_for(&self.words);
        for amount in &query.amounts {
            ask_for(&self.free[amount.resource]);
            ask_for(&self.capacity[amount.resource]);
        }
        ask_for(&self.load);
        ask_for(&self.latency_ms);
    }

    /// A lane without an agent.
    pub(super) fn vacancy(&self) -> Option<usize> {
        let lane = (!self.taken).trailing_zeros() as usize;
        (lane < LANES).then_some(lane)
    }

    /// Puts an agent into a vacant lane; calls `changed` with each of its words, and with the lanes
    /// that have it now.
    pub(super) fn put(&mut self, lane: usize, row: &Row, mut changed: impl FnMut(Token, u64)) {
        self.taken |= 1 << lane;
        self.number[lane] = row.number;
        self.order[lane] = row.order;
        self.set(lane, &row.vital);
        for &token in &row.words {
            changed(token, self.words.add(token, 1 << lane));
            self.tainted |= u64::from(token & TAINT != 0) << lane;
        }
        for device in &row.devices {
            self.set_device(lane, device);
        }
    }

    /// Puts agents into an empty block, from its first lane on.
    pub(super) fn fill(
        &mut self,
        rows: &[&Row],
        gathered: &mut Gathered,
        mut changed: impl FnMut(Token, u64),
    ) {
        for (lane, row) in rows.iter().enumerate() {
            row.words.iter().for_each(|token| gathered.add(*token, 1 << lane));
        }
        gathered.take(|token, lanes| {
            self.words.tokens.push(token);
            self.words.lanes.push(lanes);
            self.tainted |= if token & TAINT != 0 { lanes } else { 0 };
            changed(token, lanes);
        });
        self.words.tokens.shrink_to_fit();
        self.words.lanes.shrink_to_fit();
        for (lane, row) in rows.iter().enumerate() {
            self.taken |= 1 << lane;
            self.number[lane] = row.number;
            self.order[lane] = row.order;
            self.set(lane, &row.vital);
            row.devices.iter().for_each(|device| self.set_device(lane, device));
        }
    }

    /// Writes what changes of the agent in a lane.
    pub(super) fn set(&mut self, lane: usize, vital: &Vital) {
        let bit = 1 << lane;
        self.ready = if vital.ready { self.ready | bit } else { self.ready & !bit };
        for (place, lanes) in self.standing.iter_mut().enumerate() {
            *lanes = *lanes & !bit | u64::from(vital.standing >> place & 1) << lane;
        }
        if let Some(at) = &mut self.at {
            (0..3).for_each(|axis| at[axis][lane] = vital.at[axis]);
        }
        self.load[lane] = vital.load;
        self.latency_ms[lane] = vital.latency_ms;
        let wide = vital.capacity.iter().any(|amount| *amount > AMOUNT_MAX);
        if wide || self.wide & bit != 0 {
            self.large.retain(|large| large.lane != lane);
            self.wide &= !bit;
        }
        if wide {
            self.wide |= bit;
            self.large.push(Large { lane, capacity: vital.capacity, free: vital.free });
        }
        for resource in 0..4 {
            // What is free is at most the capacity.
            self.capacity[resource][lane] = vital.capacity[resource].min(AMOUNT_MAX) as u32;
            self.free[resource][lane] = vital.free[resource].min(AMOUNT_MAX) as u32;
        }
    }

    /// Writes one kind of device of the agent in a lane.
    pub(super) fn set_device(&mut self, lane: usize, device: &Device) {
        let known = self.devices.iter().position(|column| column.token == device.token);
        let index = known.unwrap_or_else(|| {
            let (capacity, free) = ([0; LANES], [0; LANES]);
            // Few kinds, and each a kilobyte half: no room is kept for more.
            self.devices.reserve_exact(1);
            self.devices.push(Devices { token: device.token, capacity, free });
            self.devices.len() - 1
        });
        self.devices[index].capacity[lane] = device.capacity;
        self.devices[index].free[lane] = device.free;
    }

    /// What changes of the agent in a lane, as it was written.
    pub(super) fn vital(&self, lane: usize) -> Vital {
        let (capacity, free) = self.amounts(lane);
        Vital {
            ready: self.ready >> lane & 1 == 1,
            standing: self
                .standing
                .iter()
                .enumerate()
                .fold(0, |all, (place, lanes)| all | ((lanes >> lane & 1) as u8) << place),
            at: match &self.at {
                Some(at) => std::array::from_fn(|axis| at[axis][lane]),
                None => NOWHERE,
            },
            load: self.load[lane],
            latency_ms: self.latency_ms[lane],
            capacity,
            free,
        }
    }

    /// Capacity and what is free of it.
    pub(super) fn amounts(&self, lane: usize) -> ([u64; 4], [u64; 4]) {
        if self.wide >> lane & 1 == 1
            && let Some(large) = self.large.iter().find(|large| large.lane == lane)
        {
            return (large.capacity, large.free);
        }
        let of = |columns: &[Column<u32>; 4]| std::array::from_fn(|at| columns[at][lane].into());
        (of(&self.capacity), of(&self.free))
    }

    /// Takes an agent out; calls `changed` with each of its words, and with the lanes that still
    /// have it.
    pub(super) fn take(&mut self, lane: usize, changed: impl FnMut(Token, u64)) -> Row {
        let row = self.row(lane);
        let bit = !(1 << lane);
        (self.taken, self.ready) = (self.taken & bit, self.ready & bit);
        (self.wide, self.tainted) = (self.wide & bit, self.tainted & bit);
        self.large.retain(|large| large.lane != lane);
        self.words.clear(lane, changed);
        for column in &mut self.devices {
            (column.capacity[lane], column.free[lane]) = (0, 0);
        }
        self.devices.retain(|column| column.capacity.iter().any(|capacity| *capacity > 0));
        row
    }

    /// The agent in a lane, as it was put.
    pub(super) fn row(&self, lane: usize) -> Row {
        let words = self.words.from(0).filter(|(_, lanes)| lanes >> lane & 1 == 1);
        let devices = self.devices.iter().filter(|column| column.capacity[lane] > 0);
        Row {
            number: self.number[lane],
            order: self.order[lane],
            vital: self.vital(lane),
            words: words.map(|(token, _)| token).collect(),
            devices: devices
                .map(|column| Device {
                    token: column.token,
                    capacity: column.capacity[lane],
                    free: column.free[lane],
                })
                .collect(),
        }
    }

    /// The column of a kind of device.
    pub(super) fn device(&self, token: Token) -> Option<&Devices> {
        self.devices.iter().find(|column| column.token == token)
    }

    /// Bytes on the heap, its own included.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.at.as_ref().map_or(0, |_| size_of::<[Column<f64>; 3]>())
            + self.large.capacity() * size_of::<Large>()
            + self.devices.capacity() * size_of::<Devices>()
            + self.words.bytes()
    }
}

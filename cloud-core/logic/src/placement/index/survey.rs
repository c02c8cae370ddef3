//! A survey: the whole fleet counted, every agent under every reason for which it is refused. It
//! goes over the columns of all blocks, with one mask of 64 agents for each reason, and looks at no
//! agent; what it comes to is what going over the agents would, to the last bit.

use shared::api::RefusalName;

use super::super::Request;
use super::super::plan::{Count, Tally, keep_first};
use super::super::policy::Policy;
use super::super::vocabulary::Vocabulary;
use super::asked::{Asked, Look};
use super::block::{Block, LANES, lanes_of};
use super::dictionary::{Dictionary, Token};
use super::query::Query;
use super::row::Order;
use super::scan::{ABREAST, lanes_where, scores};
use crate::fleet::{Fleet, Number};
use crate::shelves::Shelves;

/// The columns of all agents at one moment, and their words.
#[derive(Debug, Clone)]
pub(in crate::placement) struct Survey {
    blocks: Shelves<Block>,
    dictionary: Dictionary,
}

/// An agent among the best, or among those nearest to passing.
#[derive(Debug, Clone, Copy)]
struct Ranked {
    /// Whether other reasons keep it away, and whether waiting is no help: the less the better.
    class: usize,
    /// The shortfall, or the score below 0.
    value: f64,
    order: Order,
    number: Number,
}

impl Ranked {
    fn cmp(&self, other: &Self, fleet: &Fleet) -> std::cmp::Ordering {
        let id = |one: &Self| fleet.at(one.number).map(|agent| &agent.id);
        (self.class.cmp(&other.class))
            .then_with(|| self.value.total_cmp(&other.value))
            .then_with(|| self.order.cmp(&other.order))
            .then_with(|| id(self).cmp(&id(other)))
    }
}

/// The first few of many, in order.
struct First<'a> {
    fleet: &'a Fleet,
    kept: Vec<Ranked>,
    kept_max: usize,
}

impl<'a> First<'a> {
    fn new(fleet: &'a Fleet, kept_max: usize) -> Self {
        Self { fleet, kept: Vec::new(), kept_max }
    }

    /// The last of them, once there are as many as there may be.
    fn last(&self) -> Option<&Ranked> {
        self.kept.get(self.kept_max - 1)
    }

    /// Those of some lanes of one class that may be among the first, by their orders: of those that
    /// lack as little as the last one, which lacks nothing. No shortfall is less than none.
    fn by_order(&self, block: &Block, class: usize, lanes: u64) -> u64 {
        match self.last() {
            Some(last) if last.class < class => 0,
            Some(last) if last.class == class && last.value == 0.0 => {
                lanes & lanes_where(&block.order, |order| order <= last.order)
            }
            _ => lanes,
        }
    }

    /// Those that may be among the first by their shortfalls.
    fn by_value(&self, values: &[f64; LANES], class: usize, lanes: u64) -> u64 {
        match self.last() {
            Some(last) if last.class == class => {
                lanes & lanes_where(values, |value| value <= last.value)
            }
            _ => lanes,
        }
    }

    fn take(&mut self, one: Ranked) {
        let fleet = self.fleet;
        keep_first(&mut self.kept, one, self.kept_max, |a, b| a.cmp(b, fleet));
    }

    fn numbers(&self) -> Vec<Number> {
        self.kept.iter().map(|one| one.number).collect()
    }
}

/// The agents refused for one reason, so far.
struct Group<'a> {
    tally: Tally,
    nearest: First<'a>,
}

impl Group<'_> {
    /// Takes the lanes of a block that are refused for it: those of `alone` for nothing else; those of
    /// `waiting` are helped by waiting.
    fn take(&mut self, lanes: u64, alone: u64, waiting: u64, look: &Look<'_>, asked: &Asked<'_>) {
        if lanes == 0 {
            return;
        }
        self.tally.count += u64::from(lanes.count_ones());
        self.tally.alone += u64::from((lanes & alone).count_ones());
        self.tally.waiting_helps |= lanes & waiting != 0;
        let classes = [alone & waiting, alone & !waiting, !alone & waiting, !alone & !waiting];
        let mut shortfalls = None;
        for (class, of_class) in classes.into_iter().enumerate() {
            let of_class = lanes & of_class;
            if of_class == 0 {
                continue;
            }
            let block = look.block;
            let promising = self.nearest.by_order(block, class, of_class);
            if promising == 0 {
                continue;
            }
            let shortfalls =
                shortfalls.get_or_insert_with(|| asked.shortfalls(self.tally.reason, look));
            for lane in lanes_of(self.nearest.by_value(shortfalls, class, promising)) {
                let (order, number) = (block.order[lane], block.number[lane]);
                self.nearest.take(Ranked { class, value: shortfalls[lane], order, number });
            }
        }
    }
}

impl Survey {
    pub(super) fn new(blocks: Shelves<Block>, dictionary: Dictionary) -> Self {
        Self { blocks, dictionary }
    }

    /// Counts the fleet of the same moment. Up to `best_max` agents that may take the task, and up to
    /// `examples_max` for each reason, each at least 1.
    pub(in crate::placement) fn count(
        &self,
        fleet: &Fleet,
        request: &Request<'_>,
        policy: &Policy,
        [best_max, examples_max]: [usize; 2],
    ) -> Count {
        let asked = Asked::new(request, policy, &self.dictionary, fleet);
        let query =
            Query::new(request, policy, &self.dictionary, fleet.len(), |id| fleet.number(id));
        let group = |&reason: &RefusalName| Group {
            tally: Tally::new(reason),
            nearest: First::new(fleet, examples_max),
        };
        let mut groups: Vec<Group<'_>> = asked.reasons.iter().map(group).collect();
        let mut refused = vec![0; groups.len()];
        let (mut feasible, mut best) = (0, First::new(fleet, best_max));
        for block in self.blocks.iter() {
            let look = asked.look(block);
            let (mut once, mut twice, mut stuck) = (0, 0, 0);
            for (reason, refused) in asked.reasons.iter().zip(&mut refused) {
                let against = asked.against(*reason, &look);
                let lanes = against.lanes & block.taken;
                (twice, once) = (twice | once & lanes, once | lanes);
                stuck |= lanes & !against.waiting;
                *refused = lanes;
            }
            for (group, lanes) in groups.iter_mut().zip(&refused) {
                group.take(*lanes, once & !twice, !stuck, &look, &asked);
            }
            let free = block.taken & !once;
            feasible += u64::from(free.count_ones());
            if let Some(query) = &query {
                rank(block, query, free, &mut best);
            }
        }
        let tally = |group: Group<'_>| Tally { examples: group.nearest.numbers(), ..group.tally };
        let refused = groups.into_iter().map(tally).filter(|tally| tally.count > 0).collect();
        Count { feasible, best: best.numbers(), refused }
    }
}

/// Scores lanes that may take the task, and keeps the best.
fn rank(block: &Block, query: &Query<'_>, free: u64, best: &mut First<'_>) {
    for from in (0..LANES).step_by(ABREAST).filter(|from| free >> from & 0xff != 0) {
        let scores = scores(block, query, from);
        for lane in lanes_of(free >> from & 0xff) {
            let (value, at) = (-scores[lane], from + lane);
            if best.last().is_none_or(|last| value <= last.value) {
                let (order, number) = (block.order[at], block.number[at]);
                best.take(Ranked { class: 0, value, order, number });
            }
        }
    }
}

impl Vocabulary for Survey {
    fn devices(&self) -> Vec<&str> {
        in_order(self.dictionary.all_devices())
    }

    fn architectures(&self) -> Vec<&str> {
        in_order(self.dictionary.all_arch())
    }

    fn regions(&self) -> Vec<&str> {
        in_order(self.dictionary.all_regions())
    }

    fn values(&self, key: &str) -> Vec<&str> {
        in_order(self.dictionary.all_values(key))
    }

    fn has_label(&self, key: &str, value: &str) -> bool {
        let token = self.dictionary.label(key, value);
        token.is_some_and(|token| self.dictionary.agents(token) > 0)
    }
}

fn in_order<'a>(words: impl Iterator<Item = (&'a str, Token)>) -> Vec<&'a str> {
    let mut words: Vec<&str> = words.map(|(word, _)| word).collect();
    words.sort_unstable();
    words
}

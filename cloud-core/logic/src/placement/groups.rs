//! Groups of tasks that are kept apart: how many of each are in every region, in every zone and on
//! every agent. Counted as attempts begin and end, so that asking costs no walk over tasks. A task is
//! a member of each group that it names while it has an attempt on an agent. One that was given up,
//! because its agent cannot be heard, counts no more: what replaces it could not go anywhere near
//! an agent that is gone for good.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::geo::{EARTH_RADIUS_M, Position, arc_m, chord_squared, distance_m};
use shared::id::AgentId;
use shared::spec::{Per, Spread, TaskSpec, Together, ZONE_LABEL};

use crate::fleet::{Agent, Number};

/// All groups with members. A clone is a snapshot: it shares them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    groups: BTreeMap<Arc<str>, Arc<Group>>,
}

/// For requests that know of none.
pub(super) static NO_GROUPS: Groups = Groups { groups: BTreeMap::new() };

/// One group.
#[derive(Debug, Clone, Default, PartialEq)]
struct Group {
    seats: BTreeMap<AgentId, Seat>,
    regions: BTreeMap<String, u32>,
    zones: BTreeMap<String, u32>,
}

/// The members on one agent, and where that was when they were last counted.
#[derive(Debug, Clone, PartialEq)]
struct Seat {
    number: Number,
    count: u32,
    region: Option<String>,
    zone: Option<String>,
    position: Option<Position>,
}

/// What a group has, of which no more may be added.
pub(super) enum Full<'a> {
    /// Regions.
    Regions(Vec<&'a str>),
    /// Zones.
    Zones(Vec<&'a str>),
    /// Agents.
    Agents(Vec<Number>),
    /// Whatever is near enough to enough of these.
    Near(Crowd),
}

/// The zone of an agent.
pub(super) fn zone(agent: &Agent) -> Option<&str> {
    agent.facts.labels.get(ZONE_LABEL).map(String::as_str)
}

impl Groups {
    /// How many of a group are together with whatever is on an agent; `None` when nobody can tell,
    /// because the agent has no region, zone or position.
    pub(super) fn together(&self, rule: &Spread, agent: &Agent) -> Option<u64> {
        let group = self.groups.get(rule.group.as_str());
        let counted = |count: Option<&u32>| count.copied().unwrap_or(0).into();
        match rule.together {
            Together::Per(Per::Region) => {
                let region = agent.facts.region.as_ref()?;
                Some(counted(group.and_then(|group| group.regions.get(region))))
            }
            Together::Per(Per::Zone) => {
                let zone = zone(agent)?;
                Some(counted(group.and_then(|group| group.zones.get(zone))))
            }
            Together::Per(Per::Agent) => {
                let seat = group.and_then(|group| group.seats.get(&agent.id));
                Some(counted(seat.map(|seat| &seat.count)))
            }
            Together::WithinM(within_m) => {
                let position = agent.facts.position?;
                let seats = group.into_iter().flat_map(|group| group.seats.values());
                let near = seats.filter(|seat| {
                    seat.position.is_some_and(|seat| distance_m(position, seat) <= within_m)
                });
                Some(near.map(|seat| u64::from(seat.count)).sum())
            }
        }
    }

    /// Where no more of a group may be added.
    pub(super) fn full(&self, rule: &Spread) -> Full<'_> {
        let group = self.groups.get(rule.group.as_str()).map(Arc::as_ref);
        fn full(counts: &BTreeMap<String, u32>, max: u32) -> Vec<&str> {
            let full = counts.iter().filter(|(_, count)| **count >= max);
            full.map(|(word, _)| word.as_str()).collect()
        }
        let seats = group.into_iter().flat_map(|group| group.seats.values());
        match rule.together {
            Together::Per(Per::Region) => {
                Full::Regions(group.map_or(vec![], |group| full(&group.regions, rule.max)))
            }
            Together::Per(Per::Zone) => {
                Full::Zones(group.map_or(vec![], |group| full(&group.zones, rule.max)))
            }
            Together::Per(Per::Agent) => Full::Agents(
                seats.filter(|seat| seat.count >= rule.max).map(|seat| seat.number).collect(),
            ),
            Together::WithinM(within_m) => Full::Near(Crowd::new(
                seats.filter_map(|seat| Some((seat.position?.unit_vector(), seat.count))),
                within_m,
                rule.max,
            )),
        }
    }
}

/// Members of a group by where they are, and how many of them may be how near.
#[derive(Debug)]
pub(super) struct Crowd {
    /// From south to north.
    seats: Vec<([f64; 3], u32)>,
    within_m: f64,
    max: u64,
    /// Farther than this to the north or south, by the third coordinate, nobody is near.
    rise: f64,
}

impl Crowd {
    fn new(seats: impl Iterator<Item = ([f64; 3], u32)>, within_m: f64, max: u32) -> Self {
        let mut seats: Vec<_> = seats.collect();
        seats.sort_by(|(a, _), (b, _)| a[2].total_cmp(&b[2]));
        // A chord is shorter than its arc, and not shorter than its rise. A little more, so that no
        // rounding leaves anybody out.
        let rise = within_m / EARTH_RADIUS_M * (1.0 + 1e-9) + 1e-12;
        Self { seats, within_m, max: max.into(), rise }
    }

    /// Whether as many as may be are within the distance of a point of the unit sphere.
    pub(super) fn is_full_at(&self, point: [f64; 3]) -> bool {
        let from = self.seats.partition_point(|(seat, _)| seat[2] < point[2] - self.rise);
        let seats = self.seats[from..].iter();
        let mut count = 0;
        seats
            .take_while(|(seat, _)| seat[2] <= point[2] + self.rise)
            .filter(|(seat, _)| arc_m(chord_squared(point, *seat)) <= self.within_m)
            .any(|(_, members)| {
                count += u64::from(*members);
                count >= self.max
            })
    }
}

impl Group {
    /// Adds members to an agent, or, below 0, takes them away.
    fn add(&mut self, number: Number, agent: &Agent, members: i64) {
        self.unseat(&agent.id, |seat, group| {
            let count = i64::from(seat.map_or(0, |seat| seat.count)) + members;
            // Counts are of tasks in memory.
            let count = u32::try_from(count).unwrap_or(0);
            group.seat(number, agent, count);
        });
    }

    fn unseat(&mut self, agent: &AgentId, then: impl FnOnce(Option<Seat>, &mut Self)) {
        let seat = self.seats.remove(agent);
        if let Some(seat) = &seat {
            let parts = [(&seat.region, &mut self.regions), (&seat.zone, &mut self.zones)];
            for (word, counts) in parts {
                let Some(word) = word else { continue };
                if let Some(count) = counts.get_mut(word) {
                    *count -= seat.count.min(*count);
                    if *count == 0 {
                        counts.remove(word);
                    }
                }
            }
        }
        then(seat, self);
    }

    fn seat(&mut self, number: Number, agent: &Agent, count: u32) {
        if count == 0 {
            return;
        }
        let (region, zone) = (agent.facts.region.clone(), zone(agent).map(str::to_owned));
        for (word, counts) in [(&region, &mut self.regions), (&zone, &mut self.zones)] {
            if let Some(word) = word {
                *counts.entry(word.clone()).or_default() += count;
            }
        }
        let position = agent.facts.position;
        self.seats.insert(agent.id.clone(), Seat { number, count, region, zone, position });
    }
}

/// Who is in which group, kept while attempts begin and end.
#[derive(Debug, Default)]
pub(super) struct Membership {
    groups: Groups,
    /// The groups with members on each agent.
    on: BTreeMap<AgentId, BTreeSet<Arc<str>>>,
    /// Groups of which members have gone or moved, since somebody last asked.
    thinned: BTreeSet<Arc<str>>,
}

impl Membership {
    pub(super) fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Takes the groups of which members have gone or moved since it was last asked.
    pub(super) fn take_thinned(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.thinned)
    }

    /// A task has an attempt on an agent.
    pub(super) fn join(&mut self, spec: &TaskSpec, number: Number, agent: &Agent) {
        for name in spec.place.groups() {
            let name = match self.groups.groups.get_key_value(name) {
                Some((name, _)) => Arc::clone(name),
                None => Arc::from(name),
            };
            let group = self.groups.groups.entry(Arc::clone(&name)).or_default();
            Arc::make_mut(group).add(number, agent, 1);
            self.on.entry(agent.id.clone()).or_default().insert(name);
        }
    }

    /// An attempt is over, or given up.
    pub(super) fn leave(&mut self, spec: &TaskSpec, number: Number, agent: &Agent) {
        for name in spec.place.groups() {
            if let Some(group) = self.groups.groups.get_mut(name) {
                Arc::make_mut(group).add(number, agent, -1);
                self.thinned.insert(Arc::from(name));
            }
            self.forget_empty(name, &agent.id);
        }
    }

    /// An agent says something else of itself, or is somewhere else.
    pub(super) fn follow(&mut self, number: Number, agent: &Agent) {
        for name in self.on.get(&agent.id).into_iter().flatten() {
            if let Some(group) = self.groups.groups.get_mut(name) {
                let seat = group.seats.get(&agent.id);
                let same = seat.is_some_and(|seat| {
                    seat.region == agent.facts.region
                        && seat.zone.as_deref() == zone(agent)
                        && seat.position == agent.facts.position
                });
                if !same {
                    Arc::make_mut(group).add(number, agent, 0);
                    self.thinned.insert(Arc::clone(name));
                }
            }
        }
    }

    /// An agent is gone, with all that was on it.
    pub(super) fn remove(&mut self, agent: &AgentId) {
        for name in self.on.remove(agent).unwrap_or_default() {
            if let Some(group) = self.groups.groups.get_mut(&name) {
                Arc::make_mut(group).unseat(agent, |_, _| ());
                if group.seats.is_empty() {
                    self.groups.groups.remove(&name);
                }
                self.thinned.insert(name);
            }
        }
    }

    /// Whether the same are in the same groups.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.groups == other.groups && self.on == other.on
    }

    fn forget_empty(&mut self, name: &str, agent: &AgentId) {
        let group = self.groups.groups.get(name);
        if group.is_none_or(|group| !group.seats.contains_key(agent))
            && let Some(on) = self.on.get_mut(agent)
        {
            on.remove(name);
            if on.is_empty() {
                self.on.remove(agent);
            }
        }
        if group.is_some_and(|group| group.seats.is_empty()) {
            self.groups.groups.remove(name);
        }
    }
}

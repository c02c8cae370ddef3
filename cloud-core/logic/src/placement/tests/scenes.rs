//! Fleets that are hard on an index, and the tasks that are hard on each: everybody in one point,
//! at a pole, on both sides of the antimeridian, alike to the last bit; words that hardly anybody
//! has, or that never meet; amounts beyond every column. All of it made from a seed.

use shared::api::{AgentStatus, PolicyProfile, ProfileFilters, ProfileWeights};
use shared::geo::{Area, Position};
use shared::id::AgentId;
use shared::label::{Expression, Operator};
use shared::spec::{Exec, Near, Per, Preference, Run, Spread, TaskSpec, Together};
use shared::time::mix;

use super::super::{Policy, Weights};
use super::{agent, area, id, position, signal, task};
use crate::fleet::Agent;

/// Chance from a seed.
#[derive(Debug, Clone)]
pub struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    fn word(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.seed, self.drawn)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.word() % limit.max(1)
    }

    /// Whether something happens that does so once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What is hard about a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scene {
    Uniform,
    Poles,
    Antimeridian,
    OneCity,
    OnePoint,
    Alike,
    NoLocation,
    RareLabels,
    LabelsThatNeverMeet,
    ResourcesThatNeverMeet,
    Packing,
    Impossible,
    Immense,
}

impl Scene {
    pub const ALL: [Self; 13] = [
        Self::Uniform,
        Self::Poles,
        Self::Antimeridian,
        Self::OneCity,
        Self::OnePoint,
        Self::Alike,
        Self::NoLocation,
        Self::RareLabels,
        Self::LabelsThatNeverMeet,
        Self::ResourcesThatNeverMeet,
        Self::Packing,
        Self::Impossible,
        Self::Immense,
    ];

    /// A place that agents and tasks of the scene have in common.
    pub fn place(self, dice: &mut Dice) -> Position {
        match self {
            Self::Poles => {
                let pole: f64 = dice.pick(&[90.0, -90.0]);
                let off = dice.pick(&[0.0, 0.0, 1e-9, 0.01, 1.0]);
                position(pole - pole.signum() * off, dice.between(-180.0, 180.0))
            }
            Self::Antimeridian => {
                let east = dice.pick(&[180.0, 179.999_999, 179.9, 178.0]);
                let longitude = if dice.once_in(2) { east } else { -east };
                position(dice.between(-20.0, -15.0), longitude)
            }
            Self::OneCity => position(dice.between(-37.9, -37.7), dice.between(144.8, 145.1)),
            Self::OnePoint | Self::Alike => position(48.137_154, 11.576_124),
            _ => position(dice.between(-90.0, 90.0), dice.between(-180.0, 180.0)),
        }
    }

    fn amount(self, dice: &mut Dice) -> u64 {
        match self {
            Self::Immense => dice.pick(&[
                0,
                1,
                4_000,
                i32::MAX as u64,
                i32::MAX as u64 + 1,
                u64::from(u32::MAX),
                1 << 53,
                (1 << 53) + 1,
                u64::MAX - 1,
                u64::MAX,
            ]),
            _ => dice.pick(&[1_000, 2_000, 4_000, 4_000, 8_000, 64_000]),
        }
    }

    /// A newcomer.
    pub fn agent(self, name: &str, dice: &mut Dice) -> Agent {
        let mut agent = agent(name);
        if self == Self::Alike {
            return agent;
        }
        let nowhere = dice.once_in(if self == Self::NoLocation { 1 } else { 15 });
        agent.facts.position = (!nowhere).then(|| self.place(dice));
        agent.facts.region =
            (!dice.once_in(6)).then(|| dice.pick(&["north", "south", "west"]).to_owned());
        agent.facts.arch = dice.pick(&["aarch64", "aarch64", "arm", ""]).to_owned();
        let capacity = &mut agent.facts.capacity;
        (capacity.cpu_millis, capacity.memory_mib) = (self.amount(dice), self.amount(dice));
        (capacity.disk_mib, capacity.bandwidth_kbps) = (self.amount(dice), self.amount(dice));
        if self == Self::ResourcesThatNeverMeet {
            let much_cpu = dice.once_in(2);
            (capacity.cpu_millis, capacity.memory_mib) =
                if much_cpu { (64_000, 500) } else { (500, 64_000) };
        }
        capacity.devices.clear();
        for device in ["camera", "gpu"] {
            if dice.once_in(3) {
                let count = dice.pick(&[0, 1, 2, u32::MAX]);
                capacity.devices.insert(device.to_owned(), count);
            }
        }
        let labels = &mut agent.facts.labels;
        labels.insert("os".to_owned(), dice.pick(&["debian", "alpine"]).to_owned());
        if !dice.once_in(4) {
            labels.insert("zone".to_owned(), format!("zone-{}", dice.below(60)));
        }
        match self {
            Self::RareLabels => {
                labels.insert("serial".to_owned(), name.to_owned());
                if dice.once_in(300) {
                    labels.insert("rare".to_owned(), "yes".to_owned());
                }
            }
            Self::LabelsThatNeverMeet => {
                let label = dice.pick(&["left", "right"]);
                labels.insert(label.to_owned(), "yes".to_owned());
            }
            _ => {}
        }
        if dice.once_in(10) {
            agent.facts.taints = vec![dice.pick(&["t", "u"]).to_owned()];
        }
        if dice.once_in(10) {
            agent.facts.runtimes = vec!["exec".to_owned()];
        }
        agent.facts.tasks_max = dice.pick(&[0, 1, 3, 100, 100]);
        self.live(&mut agent, dice);
        agent
    }

    /// What a while of life does to an agent.
    pub fn live(self, agent: &mut Agent, dice: &mut Dice) {
        let rtt_ms = (!dice.once_in(8)).then(|| dice.between(0.0, 200.0));
        agent.signal = signal(dice.between(0.0, 1.0), rtt_ms);
        agent.status = match dice.below(16) {
            0 => AgentStatus::Offline,
            1 => AgentStatus::Suspect,
            _ => AgentStatus::Online,
        };
        agent.flags.cordoned = dice.once_in(30);
        agent.flags.draining = dice.once_in(30);
        agent.flags.quarantined = dice.once_in(30);
        agent.assignments = dice.pick(&[0, 0, 1, 2]);
        let used = &mut agent.used;
        let part = |all: u64, dice: &mut Dice| all / 8 * dice.below(9);
        let all = agent.facts.capacity.scalars();
        used.cpu_millis = part(all[0], dice);
        used.memory_mib = part(all[1], dice);
        used.disk_mib = part(all[2], dice);
        used.bandwidth_kbps = part(all[3], dice);
        if dice.once_in(20) {
            used.cpu_millis = u64::MAX;
        }
    }

    fn needs(self, spec: &mut TaskSpec, dice: &mut Dice) {
        let needs = &mut spec.needs;
        match self {
            Self::ResourcesThatNeverMeet => {
                (needs.cpu_millis, needs.memory_mib) = dice.pick(&[(400, 400), (1_000, 1_000)]);
            }
            Self::Impossible => needs.memory_mib = dice.pick(&[63_999, 64_000, 64_001, u64::MAX]),
            Self::Immense => needs.disk_mib = self.amount(dice),
            _ => {}
        }
        if !dice.once_in(3) {
            let amounts = [0, 0, 500, 1_000, 2_000, 4_000];
            needs.cpu_millis = needs.cpu_millis.max(dice.pick(&amounts));
            needs.memory_mib = needs.memory_mib.max(dice.pick(&amounts));
            needs.bandwidth_kbps = dice.pick(&[0, 0, 0, 1_000]);
        }
        if dice.once_in(8) {
            needs.devices.insert("camera".to_owned(), dice.pick(&[0, 1, 1, 2]));
        }
        if dice.once_in(30) {
            needs.devices.insert("gpu".to_owned(), 1);
        }
    }

    fn words(self, spec: &mut TaskSpec, names: &[AgentId], dice: &mut Dice) {
        let place = &mut spec.place;
        let yes = || "yes".to_owned();
        match self {
            Self::RareLabels if dice.once_in(2) => {
                if dice.once_in(2) {
                    place.labels.insert("rare".to_owned(), yes());
                } else if let Some(name) = some(names, dice) {
                    place.labels.insert("serial".to_owned(), name.to_string());
                }
            }
            Self::LabelsThatNeverMeet if dice.once_in(2) => {
                place.labels = ["left", "right"].map(|key| (key.to_owned(), yes())).into();
            }
            _ => {}
        }
        if dice.once_in(6) {
            place.labels.insert("os".to_owned(), dice.pick(&["debian", "beos"]).to_owned());
        }
        if dice.once_in(6) {
            let key = dice.pick(&["os", "left", "rare"]).to_owned();
            let op = dice.pick(&Operator::ALL).1;
            let values = match op {
                Operator::In | Operator::NotIn => vec!["yes".to_owned(), "debian".to_owned()],
                Operator::Exists | Operator::NotExists => vec![],
            };
            place.expressions = vec![Expression { key, op, values }];
        }
        if dice.once_in(8) {
            place.arch = vec![dice.pick(&["arm", "aarch64", "m68k"]).to_owned(), "sh".to_owned()];
        }
        if dice.once_in(8) {
            place.regions = vec![dice.pick(&["north", "east"]).to_owned(), "south".to_owned()];
        }
        if dice.once_in(3) {
            place.tolerate = vec![dice.pick(&["t", "u"]).to_owned()];
        }
        if dice.once_in(12) {
            place.agents = (0..5).filter_map(|_| some(names, dice)).chain([id("nobody")]).collect();
        }
        if dice.once_in(8) {
            place.avoid_agents = (0..3).filter_map(|_| some(names, dice)).collect();
        }
    }

    /// A task.
    pub fn task(self, names: &[AgentId], dice: &mut Dice) -> TaskSpec {
        task(|spec| {
            if dice.once_in(3) {
                spec.run = Run::Exec(Exec::default());
            }
            self.needs(spec, dice);
            self.words(spec, names, dice);
            let within_m =
                dice.pick(&[None, Some(0.0), Some(1_000.0), Some(2e5), Some(3e6), Some(2e7)]);
            if dice.once_in(2) {
                spec.place.near = Some(Near { position: self.place(dice), within_m });
            }
            if dice.once_in(8) {
                spec.place.area = Some(self.area(dice));
            }
            if dice.once_in(6) {
                spec.place.latency_ms_max = Some(dice.pick(&[0.0, 10.0, 100.0]));
            }
            if dice.once_in(4) {
                spec.place.spread = (0..1 + dice.below(2)).map(|_| self.spread(dice)).collect();
            }
            if dice.once_in(3) {
                let mut weight = || dice.once_in(2).then(|| dice.pick(&[0, 1, 30, 1_000]));
                spec.prefer = Preference {
                    load: weight(),
                    capacity: weight(),
                    distance: weight(),
                    latency: weight(),
                    profile: None,
                };
            }
        })
    }

    fn spread(self, dice: &mut Dice) -> Spread {
        let together = match dice.below(5) {
            0 => Together::Per(Per::Region),
            1 => Together::Per(Per::Zone),
            2 => Together::Per(Per::Agent),
            _ => Together::WithinM(dice.pick(&[0.0, 500.0, 20_000.0, 3e6])),
        };
        let group = dice.pick(&["web", "db", "cache"]).to_owned();
        Spread { group, max: dice.pick(&[1, 1, 2, 9]), together }
    }

    fn area(self, dice: &mut Dice) -> Area {
        let [one, two] = [self.place(dice), self.place(dice)];
        let south = one.latitude().min(two.latitude()).clamp(-89.0, 88.0);
        let north = one.latitude().max(two.latitude()).clamp(south + 0.1, 89.5);
        let west = one.longitude().min(two.longitude()).clamp(-179.0, 178.0);
        let east = one.longitude().max(two.longitude()).clamp(west + 0.1, 179.9);
        area(west, south, east.min(west + 170.0), north)
    }

    /// A policy, or one that a profile comes to.
    pub fn policy(self, dice: &mut Dice) -> Policy {
        let usual = self.usual_policy(dice);
        let mut maybe = |one_in| dice.once_in(3).then(|| dice.once_in(one_in));
        let packing = maybe(2);
        let filters = ProfileFilters {
            region: maybe(2),
            too_far: maybe(3),
            outside_area: maybe(2),
            latency_too_high: maybe(2),
            latency_unknown: maybe(2),
        };
        let distance = dice.once_in(2).then(|| dice.pick(&[0, 5, 1_000]));
        let weights = ProfileWeights { distance, ..ProfileWeights::default() };
        let odd = PolicyProfile { weights, packing, filters, ..PolicyProfile::default() };
        let policy = Policy { profiles: [("odd".to_owned(), odd)].into(), ..usual };
        let profile = dice.pick(&[None, None, Some("odd"), Some("gone")]);
        policy.of(profile).into_owned()
    }

    fn usual_policy(self, dice: &mut Dice) -> Policy {
        let mut weight = || dice.pick(&[0, 1, 30, 40]);
        let (load, capacity, distance, latency) = (weight(), weight(), weight(), weight());
        let usual = dice.once_in(2);
        let weights = Weights { load, capacity, distance, latency };
        Policy {
            version: 1,
            weights: if usual { Weights::default() } else { weights },
            distance_m_ref: dice.pick(&[
                100_000.0,
                100_000.0,
                1.0,
                1e308,
                f64::INFINITY,
                0.0,
                f64::NAN,
            ]),
            latency_ms_ref: dice.pick(&[50.0, 50.0, 0.5, f64::INFINITY, -1.0]),
            packing: if self == Self::Packing { !dice.once_in(4) } else { dice.once_in(5) },
            ..Policy::default()
        }
    }
}

fn some(names: &[AgentId], dice: &mut Dice) -> Option<AgentId> {
    (!names.is_empty()).then(|| names[dice.below(names.len() as u64) as usize].clone())
}

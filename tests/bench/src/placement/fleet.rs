//! Fleets to place on: boards in and round the cities of the world, as many as people live there,
//! or anywhere on the globe.

use cloud_core_logic::fleet::{Agent, Fleet, Signal};
use shared::api::AgentStatus;
use shared::capacity::Resources;
use shared::geo::Position;
use shared::label::Labels;
use shared::time::mix;
use shared::wire::uplink::{Facts, Load};

/// The 4,000 most populous cities: latitude, longitude, population. GeoNames, CC BY 4.0, see
/// `tests/data/README.md`.
const CITIES: &str = include_str!("../../../data/cities.csv");

/// Chance from a seed.
#[derive(Debug)]
pub struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    pub fn word(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.seed, self.drawn)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit.max(1) as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// From 0 to 1.
    pub fn part(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Where agents, and those who ask for them, are.
#[derive(Debug)]
pub enum Spread {
    /// In cities: the place of each, and how many people live in it and in those before it.
    Cities { places: Vec<[f64; 2]>, people: Vec<f64> },
    /// Anywhere.
    Uniform,
}

impl Spread {
    pub fn cities() -> Self {
        let (mut places, mut people, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for line in CITIES.lines().skip(1) {
            let numbers: Vec<f64> = line.split(',').filter_map(|one| one.parse().ok()).collect();
            let [latitude, longitude, population] = numbers[..] else {
                panic!("`{line}` is no city");
            };
            sum += population;
            places.push([latitude, longitude]);
            people.push(sum);
        }
        Self::Cities { places, people }
    }

    /// A place: some 30 km about the middle of a city, or anywhere.
    pub fn place(&self, dice: &mut Dice) -> Position {
        let [latitude, longitude] = match self {
            Self::Uniform => {
                let height: f64 = 2.0 * dice.part() - 1.0;
                [height.asin().to_degrees(), 360.0 * dice.part() - 180.0]
            }
            Self::Cities { places, people } => {
                let lot = dice.part() * people.last().copied().unwrap_or(0.0);
                let city = people.partition_point(|sum| *sum < lot).min(places.len() - 1);
                let mut off = || 0.3 * (dice.part() + dice.part() + dice.part() - 1.5);
                places[city].map(|degrees| degrees + off())
            }
        };
        Position::new(latitude.clamp(-90.0, 90.0), longitude.clamp(-180.0, 180.0))
            .expect("a place is on the globe")
    }
}

/// A fleet of boards of several sizes, more or less busy, some of them not to be had.
pub fn fleet(count: usize, spread: &Spread, dice: &mut Dice) -> Fleet {
    // Ids that do not come in the order of arrival.
    (0..count).map(|at| agent(at * 7_919 % count, spread, dice)).collect()
}

fn agent(name: usize, spread: &Spread, dice: &mut Dice) -> Agent {
    let facts = facts(spread, dice);
    let used = Resources {
        cpu_millis: facts.capacity.cpu_millis / 8 * dice.below(8) as u64,
        memory_mib: facts.capacity.memory_mib / 8 * dice.below(8) as u64,
        ..Resources::default()
    };
    let mut signal = Signal::default();
    signal.measure_load(load(dice));
    signal.measure_rtt(5.0 + 200.0 * dice.part() * dice.part());
    Agent {
        id: format!("agent-{name:07}").parse().expect("an agent id"),
        facts,
        flags: Default::default(),
        status: if dice.below(50) == 0 { AgentStatus::Offline } else { AgentStatus::Online },
        signal,
        used,
        assignments: 0,
        last_seen: None,
    }
}

/// What a board is: one of several sizes, at a place of its own.
pub fn facts(spread: &Spread, dice: &mut Dice) -> Facts {
    let mut labels = Labels::new();
    labels.insert("os".to_owned(), dice.pick(&["debian", "alpine", "ubuntu"]).to_owned());
    labels.insert("model".to_owned(), format!("m{}", dice.below(20)));
    labels.insert(dice.pick(&["left", "right"]).to_owned(), "yes".to_owned());
    if dice.below(100_000) == 0 {
        labels.insert("rare".to_owned(), "yes".to_owned());
    }
    let cpu_millis = dice.pick(&[2_000, 4_000, 4_000, 4_000, 8_000, 16_000]);
    let devices = [("camera".to_owned(), 1)];
    let capacity = Resources {
        cpu_millis,
        memory_mib: cpu_millis * dice.pick(&[1, 2, 2, 4]),
        disk_mib: 32_000,
        bandwidth_kbps: 100_000,
        devices: devices.into_iter().filter(|_| dice.below(5) == 0).collect(),
    };
    Facts {
        schedules_max: 0,
        version: "0.1.0".to_owned(),
        position: Some(spread.place(dice)),
        region: Some(format!("r{}", dice.below(20))),
        labels,
        taints: ["reserved".to_owned()].into_iter().filter(|_| dice.below(20) == 0).collect(),
        arch: dice.pick(&["aarch64", "x86_64", "arm"]).to_owned(),
        capacity,
        tasks_max: 32,
        runtimes: vec!["exec".to_owned(), "noop".to_owned()],
    }
}

/// A measured load: low more often than high.
pub fn load(dice: &mut Dice) -> Load {
    Load { cpu: dice.part() * dice.part(), memory: 0.0, disk: 0.0 }
}

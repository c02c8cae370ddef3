//! What one seed makes of a world: how large it is, how bad its network, what its boards are, which
//! faults strike and what work there is. Many worlds are small: they find more in a second than few
//! large ones, and what they find is easier to read.

use std::fmt;

use cloud_core_logic::Settings as CoreSettings;
use edge_agent_logic::Settings as AgentSettings;
use shared::capacity::Resources;
use shared::geo::Position;
use shared::label::Labels;
use shared::wire::uplink::Facts;

use crate::chance::{Chance, Stream};
use crate::schedules::{self, PlannedSchedule};
use crate::script::{self, PlannedFault, PlannedWork};

/// The worst clocks that leases are safe with run this wrong, in millionths.
const DRIFT_PPM_MAX: i64 = 10_000;

/// How bad the network is while there is chaos.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    pub loss_percent: u64,
    pub repeat_percent: u64,
    pub late_percent: u64,
    pub late_ms_max: u64,
    pub delay_ms_max: u64,
}

/// One board.
#[derive(Debug, Clone)]
pub struct BoardPlan {
    pub facts: Facts,
    /// How wrong its monotonic clock runs, in millionths.
    pub drift_ppm: i64,
    /// Without a clock of its own it wakes in 1970, and learns the time from the network later.
    pub has_clock: bool,
    /// When it is switched on.
    pub on_at_ms: u64,
}

/// One world.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    /// Another course of everything that is not planned.
    pub salt: u64,
    pub agents: usize,
    pub chaos_ms: u64,
    /// Whether messages travel as bytes, or as they are: encoding costs more than deciding.
    pub encoded: bool,
    pub weather: Weather,
    /// Whether work, silence and patience are measured in minutes.
    pub slow: bool,
    pub run_ms_max: u64,
    pub boards: Vec<BoardPlan>,
    pub faults: Vec<PlannedFault>,
    pub work: Vec<PlannedWork>,
    /// What a right wall clock shows when it begins, in milliseconds since 1970.
    pub epoch_ms: i64,
    pub schedules: Vec<PlannedSchedule>,
    pub core: CoreSettings,
    pub agent: AgentSettings,
}

impl Plan {
    /// The world of a seed, of as many agents as it says or as asked for.
    pub fn of(seed: u64, agents: Option<usize>) -> Self {
        let mut chance = Chance::new(seed, Stream::Plan, 0);
        let size = chance.below(100);
        let (agents_max, chaos_ms, tasks_max) = match size {
            0..55 => (2, chance.between(10_000, 50_000), 8),
            55..78 => (4, chance.between(20_000, 120_000), 20),
            78..92 => (3, chance.between(600_000, 2_400_000), 6),
            _ => (10, chance.between(60_000, 400_000), 80),
        };
        let slow = (78..92).contains(&size);
        let agents_min = if slow { 2 } else { 1 };
        let drawn = usize::try_from(chance.between(agents_min, agents_max)).expect("small");
        let agents = agents.unwrap_or(drawn);
        let mut plan = Self {
            seed,
            salt: 0,
            agents,
            chaos_ms,
            encoded: chance.percent(25),
            weather: weather(&mut chance, slow),
            slow,
            run_ms_max: if slow { 1_200_000 } else { chance.pick(&[500, 10_000, 60_000]) },
            boards: (0..agents).map(|number| board(seed, number, chaos_ms, slow)).collect(),
            faults: Vec::new(),
            work: Vec::new(),
            epoch_ms: 0,
            schedules: Vec::new(),
            core: core_settings(&mut chance, slow),
            agent: agent_settings(&mut chance),
        };
        plan.faults = script::faults(&mut Chance::new(seed, Stream::Faults, 0), &plan);
        plan.work = script::work(&mut Chance::new(seed, Stream::Work, 0), &plan, tasks_max);
        (plan.epoch_ms, plan.schedules) = schedules::schedules(&plan);
        plan
    }
}

fn weather(chance: &mut Chance, slow: bool) -> Weather {
    let bad = chance.percent(70);
    let upto = |chance: &mut Chance, most| if bad { chance.between(0, most) } else { 0 };
    Weather {
        loss_percent: upto(chance, 40),
        repeat_percent: upto(chance, 25),
        late_percent: upto(chance, if slow { 40 } else { 20 }),
        late_ms_max: chance.pick(&[500, 5_000, if slow { 20_000 } else { 60_000 }]),
        delay_ms_max: chance.spread(1, 600),
    }
}

fn core_settings(chance: &mut Chance, slow: bool) -> CoreSettings {
    CoreSettings {
        heartbeat_ms: if slow { 5_000 } else { chance.pick(&[1_000, 2_000, 5_000]) },
        offer_timeout_ms: chance.pick(&[5_000, 15_000, 60_000]),
        grace_ms: chance.between(500, 10_000),
        placements_per_step: chance.pick(&[1, 4, 256]),
        agents_max: if chance.percent(10) { 2 } else { 1_000 },
        pending_max: if chance.percent(10) { 6 } else { 10_000 },
        recovery_ms: chance.pick(&[3_000, 20_000, 60_000]),
        reports_per_second: chance.pick(&[2, 20_000]),
        ..CoreSettings::default()
    }
}

fn agent_settings(chance: &mut Chance) -> AgentSettings {
    let few = u32::try_from(chance.between(1, 2)).expect("small");
    AgentSettings {
        running_max: chance.percent(30).then_some(few),
        outbox_window: chance.pick(&[3, 20, 1_000]),
        // So few that the ends of all that a board may hold just fit.
        outbox_max: if chance.percent(20) { 20 } else { 200_000 },
        held_max: if chance.percent(20) { 6 } else { 2_000 },
        cloned_ms: chance.pick(&[5_000, 300_000]),
        inventory_part: chance.pick(&[1, 2, 1_000]),
        kept_max: if chance.percent(20) { 2 } else { 10_000 },
        lonely_ms: chance.pick(&[500, 30_000]),
        contact_save_ms: chance.pick(&[2_000, 600_000]),
        progress_ms: chance.pick(&[500, 5_000]),
        ..AgentSettings::default()
    }
}

fn board(seed: u64, number: usize, chaos_ms: u64, slow: bool) -> BoardPlan {
    let mut chance = Chance::new(seed, Stream::Boards, number as u64);
    let mut capacity = Resources {
        cpu_millis: chance.between(2_000, 5_000),
        memory_mib: chance.between(1_000, 3_000),
        ..Resources::default()
    };
    if chance.percent(50) {
        capacity.devices.insert("camera".to_owned(), 1);
    }
    let facts = Facts {
        version: "1".to_owned(),
        position: Position::new(0.0, number as f64).ok(),
        region: Some(format!("region-{}", number % 3)),
        labels: Labels::from([("rack".to_owned(), format!("{}", number % 2))]),
        arch: "aarch64".to_owned(),
        capacity,
        tasks_max: u32::try_from(chance.between(1, 8)).expect("small"),
        schedules_max: 4,
        runtimes: vec!["exec".to_owned(), "noop".to_owned()],
        ..Facts::default()
    };
    let drift_ppm = match slow {
        true => chance.pick(&[-DRIFT_PPM_MAX, 0, DRIFT_PPM_MAX]),
        false => {
            let most = if chance.percent(20) { DRIFT_PPM_MAX } else { 200 };
            i64::try_from(chance.below(2 * most.unsigned_abs() + 1)).expect("small") - most
        }
    };
    let has_clock = chance.percent(70);
    // Most are there from the beginning, some join late.
    let late_ms = chance.below(chaos_ms);
    let on_at_ms = if chance.percent(20) { late_ms } else { 10 };
    BoardPlan { facts, drift_ppm, has_clock, on_at_ms }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agents, weather, .. } = self;
        let chaos_s = self.chaos_ms as f64 / 1_000.0;
        let kinds: std::collections::BTreeSet<&str> =
            self.faults.iter().map(|planned| planned.fault.name()).collect();
        let kinds: Vec<&str> = kinds.into_iter().collect();
        let (faults, work) = (self.faults.len(), self.work.len());
        writeln!(f, "  {agents} agents, {chaos_s} s of chaos, {work} tasks, {faults} faults")?;
        writeln!(f, "  faults: {}", kinds.join(", "))?;
        writeln!(
            f,
            "  network: {} % lost, {} % repeated, {} % late by up to {} ms, {} ms of delay{}",
            weather.loss_percent,
            weather.repeat_percent,
            weather.late_percent,
            weather.late_ms_max,
            weather.delay_ms_max,
            if self.encoded { "; messages as bytes" } else { "" }
        )?;
        for schedule in &self.schedules {
            writeln!(f, "  {}", schedule.words())?;
        }
        if self.slow {
            writeln!(f, "  work, silence and patience are measured in minutes")?;
        }
        Ok(())
    }
}

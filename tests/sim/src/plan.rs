//! What one seed makes of a world: how large it is, how bad its network, which faults it knows and
//! how often. A fault that is left out altogether lets others come through that it would hide.

use cloud_core_logic::Settings as CoreSettings;
use edge_agent_logic::Settings as AgentSettings;

use crate::chance::Chance;

/// Everything that is done to a world on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    AgentCrash,
    PowerCut,
    NewDisk,
    OrderlyRestart,
    CoreCrash,
    LinkBreak,
    Partition,
    OneWayUp,
    OneWayDown,
    BrokerRestart,
    CoreLinkDown,
    CoreClockJump,
    AgentClockJump,
    DiskFull,
    Cordon,
    Drain,
    Uncordon,
    Cancel,
    Move,
    Burst,
}

pub const FAULTS: [Fault; 20] = [
    Fault::AgentCrash,
    Fault::PowerCut,
    Fault::NewDisk,
    Fault::OrderlyRestart,
    Fault::CoreCrash,
    Fault::LinkBreak,
    Fault::Partition,
    Fault::OneWayUp,
    Fault::OneWayDown,
    Fault::BrokerRestart,
    Fault::CoreLinkDown,
    Fault::CoreClockJump,
    Fault::AgentClockJump,
    Fault::DiskFull,
    Fault::Cordon,
    Fault::Drain,
    Fault::Uncordon,
    Fault::Cancel,
    Fault::Move,
    Fault::Burst,
];

/// One world's parameters.
#[derive(Debug, Clone)]
pub struct Plan {
    pub agents: usize,
    pub chaos_ms: u64,
    pub submit_every_ms: u64,
    pub fault_every_ms: u64,
    pub faults: Vec<Fault>,
    pub loss_percent: u64,
    pub repeat_percent: u64,
    pub late_percent: u64,
    pub late_ms_max: u64,
    pub delay_ms_max: u64,
    pub core_crash_ppm: u64,
    pub agent_crash_ppm: u64,
    pub exclusive_percent: u64,
    pub run_ms_max: u64,
    pub core: CoreSettings,
    pub agent: AgentSettings,
}

impl Plan {
    pub fn of(chance: &mut Chance) -> Self {
        let mut faults: Vec<Fault> = FAULTS.to_vec();
        let keep = chance.between(4, FAULTS.len() as u64);
        while faults.len() as u64 > keep {
            let at = chance.index(faults.len());
            faults.remove(at);
        }
        let heartbeat_ms = [1_000, 2_000, 5_000][chance.index(3)];
        let core = CoreSettings {
            heartbeat_ms,
            offer_timeout_ms: [5_000, 15_000, 60_000][chance.index(3)],
            grace_ms: chance.between(500, 10_000),
            placements_per_step: [1, 4, 256][chance.index(3)],
            agents_max: if chance.percent(15) { 2 } else { 1_000 },
            pending_max: if chance.percent(10) { 6 } else { 10_000 },
            ..CoreSettings::default()
        };
        let agent = AgentSettings {
            running_max: chance
                .percent(30)
                .then(|| u32::try_from(chance.between(1, 2)).expect("small")),
            outbox_window: [3, 20, 1_000][chance.index(3)],
            outbox_max: if chance.percent(20) { 30 } else { 200_000 },
            held_max: if chance.percent(20) { 6 } else { 2_000 },
            ..AgentSettings::default()
        };
        let bad = chance.percent(70);
        let upto = |chance: &mut Chance, most| if bad { chance.between(0, most) } else { 0 };
        Self {
            agents: usize::try_from(chance.between(1, 6)).expect("small"),
            chaos_ms: chance.between(60_000, 400_000),
            submit_every_ms: chance.between(1_500, 15_000),
            fault_every_ms: chance.between(1_500, 25_000),
            faults,
            loss_percent: upto(chance, 40),
            repeat_percent: upto(chance, 25),
            late_percent: upto(chance, 20),
            late_ms_max: [500, 5_000, 60_000][chance.index(3)],
            delay_ms_max: chance.between(1, 400),
            core_crash_ppm: if chance.percent(50) { chance.between(0, 20_000) } else { 0 },
            agent_crash_ppm: if chance.percent(50) { chance.between(0, 20_000) } else { 0 },
            exclusive_percent: chance.between(0, 60),
            run_ms_max: [500, 10_000, 60_000][chance.index(3)],
            core,
            agent,
        }
    }
}

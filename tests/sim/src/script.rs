//! What is done to a world on purpose, fixed before it begins: which fault strikes whom and when,
//! and who submits what. Every entry has a number and draws from a stream of its own, so that a
//! failing world can be tried without any of them.

use std::sync::Arc;

use shared::spec::TaskSpec;

use crate::chance::{Chance, Stream};
use crate::plan::Plan;
use crate::specs;

macro_rules! faults {
    ($($name:ident $text:literal $most:literal),* $(,)?) => {
        /// Everything that is done to a world on purpose.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($name),* }

        impl Fault {
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$name, $text)),*];

            /// How often it may strike one world: what destroys much would hide the rest.
            fn most(self) -> usize {
                match self { $(Self::$name => $most),* }
            }
        }
    };
}

faults! {
    AgentKilled "agent killed" 99,
    AgentKilledAtCommit "agent killed at a commit" 99,
    PowerCut "power cut" 99,
    PowerCutAtCommit "power cut at a commit" 99,
    NewDisk "new disk" 2,
    OldDisk "older disk put back" 1,
    Cloned "board cloned" 1,
    Retired "board taken away" 1,
    OrderlyRestart "orderly restart" 99,
    CoreKilled "core killed" 99,
    CoreKilledAtCommit "core killed at a commit" 99,
    CoreRestored "core put back to a backup" 1,
    CoreLinkDown "core link down" 99,
    CoreDiskFull "core disk full" 99,
    LinkBreak "link breaks" 99,
    Partition "partition" 99,
    OneWayUp "one-way partition, up" 99,
    OneWayDown "one-way partition, down" 99,
    BrokerRestart "broker restarts" 99,
    BrokerForgets "broker forgets" 99,
    CoreClockJump "core clock jumps" 99,
    AgentClockJump "agent clock jumps" 99,
    AgentClock1970 "agent clock at 1970" 99,
    AgentDiskFull "agent disk full" 99,
    LowOnDisk "agent low on disk" 99,
    Cordon "cordon" 99,
    Drain "drain" 99,
    Uncordon "uncordon" 99,
    Cancel "cancel" 99,
    Move "board moves" 99,
}

impl Fault {
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// Where in a turn a process dies: what is decided, committed and done is lost in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    BeforeCommit,
    AfterCommit,
    AmongEffects,
}

impl CrashPoint {
    pub const ALL: [Self; 3] = [Self::BeforeCommit, Self::AfterCommit, Self::AmongEffects];
}

/// A death that waits for a turn that has something to commit.
#[derive(Debug, Clone, Copy)]
pub struct Armed {
    /// How many such turns pass before.
    pub turns: u64,
    pub point: CrashPoint,
    /// Whether the power fails, not only the process.
    pub power: bool,
}

impl Armed {
    pub fn draw(chance: &mut Chance, power: bool) -> Self {
        Self { turns: chance.spread(1, 16) - 1, point: chance.pick(&CrashPoint::ALL), power }
    }

    /// Lets a turn pass; the point at which it dies, if this is the one.
    pub fn pass(armed: &mut Option<Self>) -> Option<Self> {
        let waiting = armed.as_mut()?;
        if waiting.turns == 0 {
            return armed.take();
        }
        waiting.turns -= 1;
        None
    }
}

/// A fault that will strike.
#[derive(Debug, Clone, Copy)]
pub struct PlannedFault {
    pub number: usize,
    pub at_ms: u64,
    pub fault: Fault,
    /// Whom, where it strikes a board.
    pub board: usize,
}

/// Work that will be submitted.
#[derive(Debug, Clone)]
pub struct PlannedWork {
    pub number: usize,
    pub at_ms: u64,
    pub spec: Arc<TaskSpec>,
}

/// Faults after which a copy may run on where nobody hears of it.
const SILENCING: [Fault; 10] = [
    Fault::Partition,
    Fault::OneWayUp,
    Fault::OneWayUp,
    Fault::OneWayDown,
    Fault::LinkBreak,
    Fault::AgentDiskFull,
    Fault::AgentKilled,
    Fault::CoreKilled,
    Fault::CoreRestored,
    Fault::Cloned,
];

/// The faults of a world: of some kinds only, since one that is left out altogether lets others
/// come through that it would hide.
pub fn faults(chance: &mut Chance, plan: &Plan) -> Vec<PlannedFault> {
    let mut kinds: Vec<Fault> = Fault::ALL.iter().map(|(fault, _)| *fault).collect();
    if plan.slow && chance.percent(75) {
        kinds = SILENCING.to_vec();
    }
    let most = if plan.slow { 4 } else { kinds.len() as u64 };
    let keep = usize::try_from(chance.spread(2, most)).expect("small");
    while kinds.len() > keep {
        let at = chance.index(kinds.len());
        kinds.remove(at);
    }
    let every_ms = chance.spread(plan.chaos_ms / 60, plan.chaos_ms / 3);
    let mut struck = [0; Fault::ALL.len()];
    let mut faults = Vec::new();
    let mut at_ms = chance.between(1, every_ms);
    while at_ms < plan.chaos_ms {
        let fault = chance.pick(&kinds);
        let board = chance.index(plan.agents);
        if struck[fault as usize] < fault.most() {
            struck[fault as usize] += 1;
            faults.push(PlannedFault { number: faults.len(), at_ms, fault, board });
        }
        at_ms += chance.between(1, 2 * every_ms);
    }
    faults
}

/// The work of a world: a trickle, a handful at once now and then, and sometimes a flood.
pub fn work(chance: &mut Chance, plan: &Plan, tasks_max: u64) -> Vec<PlannedWork> {
    let tasks = chance.spread(1, tasks_max);
    let every_ms = plan.chaos_ms / tasks;
    let (flood, exclusive_percent) = (chance.percent(10), chance.between(0, 60));
    let exclusive_percent = exclusive_percent + if plan.slow { 40 } else { 0 };
    let mut times = Vec::new();
    let mut at_ms = 100;
    while at_ms < plan.chaos_ms && (times.len() as u64) < 2 * tasks {
        let together = if chance.percent(10) { chance.between(2, 6) } else { 1 };
        times.extend((0..together).map(|_| at_ms));
        at_ms += chance.between(1, 2 * every_ms);
    }
    if flood {
        let at_ms = chance.below(plan.chaos_ms);
        times.extend((0..chance.between(5, 25)).map(|_| at_ms));
        times.sort_unstable();
    }
    let one = |(number, at_ms)| {
        let mut chance = Chance::new(plan.seed, Stream::Work, 1 + number as u64);
        let spec = Arc::new(specs::make(&mut chance, plan, exclusive_percent));
        PlannedWork { number, at_ms, spec }
    };
    times.into_iter().enumerate().map(one).collect()
}

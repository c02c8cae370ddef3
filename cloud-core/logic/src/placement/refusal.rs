//! Why one agent may not take one task, with the figures that decided. Owns the name of each
//! reason, whether waiting can help against it, and how far the agent is from passing; the words
//! are in `detail` and `help`.

use shared::api::RefusalName;
use shared::capacity::{Resource, Shortage};
use shared::geo::{Position, distance_m};
use shared::spec::Spread;

use super::Request;

/// One reason against one agent.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// It cannot be heard.
    Offline,
    /// Its heartbeats are late, or it has just come back.
    Suspect,
    /// An operator lets it take nothing new.
    Cordoned,
    /// An operator empties it.
    Draining,
    /// It is kept out after failing too often.
    Quarantined,
    /// The task lists agents, and this is none of them.
    NotListed,
    /// The task's user avoids it.
    AvoidedByTask,
    /// It has just refused this task.
    RefusedBefore,
    /// Its architecture is none of those asked for.
    Arch,
    /// It lacks at least one label.
    Label,
    /// Its labels do not satisfy at least one expression.
    Expression,
    /// It has at least one taint that the task does not tolerate.
    Taint,
    /// Its region is none of those asked for.
    Region,
    /// It is farther from the point than allowed.
    TooFar {
        /// How far it is, in metres.
        distance_m: f64,
        /// How far it may be, in metres.
        within_m: f64,
    },
    /// It is outside the area.
    OutsideArea {
        /// Where it is.
        position: Position,
    },
    /// Its round trip is longer than allowed.
    LatencyTooHigh {
        /// Its round trip, in milliseconds.
        latency_ms: f64,
        /// The longest allowed, in milliseconds.
        latency_ms_max: f64,
    },
    /// Its round trip is not measured yet.
    LatencyUnknown {
        /// The longest allowed, in milliseconds.
        latency_ms_max: f64,
    },
    /// A place is asked for, and where it is nobody knows.
    NoPosition,
    /// Too little processor is free.
    Cpu(Shortage),
    /// Too little memory is free.
    Memory(Shortage),
    /// Too little disk is free.
    Disk(Shortage),
    /// Too little bandwidth is free.
    Bandwidth(Shortage),
    /// Too few of these devices are free. Never empty.
    Device(Vec<Shortage>),
    /// It does not know this kind of `run`.
    Runtime,
    /// It holds as many assignments as it may.
    Slots {
        /// How many it holds.
        held: u32,
        /// The most it holds at once.
        held_max: u32,
    },
    /// Too many of a group are together with it, or nobody can tell. Never empty.
    Spread(Vec<Crowded>),
}

/// A rule that keeps a group apart, where it does not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Crowded {
    /// The rule.
    pub rule: Spread,
    /// How many are together already; `None` when the agent has no region, zone or position by which
    /// to tell.
    pub together: Option<u64>,
}

/// What is short would be enough if nothing else were on the agent.
fn can_come_free(shortage: &Shortage) -> bool {
    shortage.needed <= shortage.capacity
}

fn lacking(shortage: &Shortage) -> f64 {
    shortage.needed.saturating_sub(shortage.free) as f64
}

impl Refusal {
    /// The name of the reason.
    #[must_use]
    pub fn name(&self) -> RefusalName {
        match self {
            Self::Offline => RefusalName::Offline,
            Self::Suspect => RefusalName::Suspect,
            Self::Cordoned => RefusalName::Cordoned,
            Self::Draining => RefusalName::Draining,
            Self::Quarantined => RefusalName::Quarantined,
            Self::NotListed => RefusalName::NotListed,
            Self::AvoidedByTask | Self::RefusedBefore => RefusalName::Avoided,
            Self::Arch => RefusalName::Arch,
            Self::Label => RefusalName::Label,
            Self::Expression => RefusalName::Expression,
            Self::Taint => RefusalName::Taint,
            Self::Region => RefusalName::Region,
            Self::TooFar { .. } => RefusalName::TooFar,
            Self::OutsideArea { .. } => RefusalName::OutsideArea,
            Self::LatencyTooHigh { .. } => RefusalName::LatencyTooHigh,
            Self::LatencyUnknown { .. } => RefusalName::LatencyUnknown,
            Self::NoPosition => RefusalName::NoPosition,
            Self::Cpu(_) => RefusalName::Cpu,
            Self::Memory(_) => RefusalName::Memory,
            Self::Disk(_) => RefusalName::Disk,
            Self::Bandwidth(_) => RefusalName::Bandwidth,
            Self::Device(_) => RefusalName::Device,
            Self::Runtime => RefusalName::Runtime,
            Self::Slots { .. } => RefusalName::Slots,
            Self::Spread(_) => RefusalName::Spread,
        }
    }

    /// Whether this reason can go away while nobody changes the task, the agent or what is set on
    /// it: work ends, links come back and get faster, a refusal is forgotten. Places count as
    /// fixed, although a tram moves: nobody can be told to wait for that.
    #[must_use]
    pub fn waiting_helps(&self) -> bool {
        match self {
            Self::Offline
            | Self::Suspect
            | Self::RefusedBefore
            | Self::LatencyTooHigh { .. }
            | Self::LatencyUnknown { .. } => true,
            Self::Cpu(shortage)
            | Self::Memory(shortage)
            | Self::Disk(shortage)
            | Self::Bandwidth(shortage) => can_come_free(shortage),
            Self::Device(shortages) => shortages.iter().all(can_come_free),
            Self::Slots { held_max, .. } => *held_max > 0,
            // Members end, or are placed elsewhere.
            Self::Spread(rules) => rules.iter().all(|crowded| crowded.together.is_some()),
            Self::Cordoned
            | Self::Draining
            | Self::Quarantined
            | Self::NotListed
            | Self::AvoidedByTask
            | Self::Arch
            | Self::Label
            | Self::Expression
            | Self::Taint
            | Self::Region
            | Self::TooFar { .. }
            | Self::OutsideArea { .. }
            | Self::NoPosition
            | Self::Runtime => false,
        }
    }

    /// How far the agent is from passing, in a unit of the reason's own: for comparing agents that
    /// are refused for the same reason. Never negative, never NaN; 0 where there is no measure.
    #[must_use]
    pub(super) fn shortfall(&self, request: &Request<'_>) -> f64 {
        let missing = match self {
            Self::TooFar { distance_m, within_m } => distance_m - within_m,
            Self::LatencyTooHigh { latency_ms, latency_ms_max } => latency_ms - latency_ms_max,
            Self::OutsideArea { position } => {
                request.spec.place.area.as_ref().map_or(0.0, |area| {
                    let bounds = area.bounds();
                    distance_m(bounds.centre, *position) - bounds.radius_m
                })
            }
            Self::Cpu(shortage)
            | Self::Memory(shortage)
            | Self::Disk(shortage)
            | Self::Bandwidth(shortage) => lacking(shortage),
            Self::Device(shortages) => shortages.iter().map(lacking).sum(),
            _ => 0.0,
        };
        // `max` also turns a NaN into 0.
        missing.max(0.0)
    }

    /// The resource of a capacity refusal as the API names it, with what is short of it.
    pub(super) fn shortages(&self) -> Vec<(&str, &Shortage)> {
        match self {
            Self::Cpu(shortage) => vec![("cpu_millis", shortage)],
            Self::Memory(shortage) => vec![("memory_mib", shortage)],
            Self::Disk(shortage) => vec![("disk_mib", shortage)],
            Self::Bandwidth(shortage) => vec![("bandwidth_kbps", shortage)],
            Self::Device(shortages) => shortages
                .iter()
                .map(|shortage| match &shortage.resource {
                    Resource::Device(name) => (name.as_str(), shortage),
                    _ => ("devices", shortage),
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

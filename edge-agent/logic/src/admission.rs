//! Whether one more attempt can be taken on. Looks at what is held; changes nothing.

use shared::capacity::{Resource, Shortage};
use shared::report::RefusalReason;
use shared::wire::downlink::Order;

use crate::agent::Agent;

/// Why an attempt is not taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason's stable name.
    pub reason: RefusalReason,
    /// A sentence for people.
    pub detail: String,
}

/// Checks whether an order can be taken on beside what is held.
///
/// # Errors
/// The first reason why not, from the most lasting to the most passing.
pub fn check(agent: &Agent, order: &Order) -> Result<(), Refusal> {
    let refuse = |reason, detail: String| Err(Refusal { reason, detail });
    let kind = order.run.kind();
    if !agent.facts.runtimes.iter().any(|known| known == kind) {
        let known = agent.facts.runtimes.join(", ");
        let detail = format!("this agent cannot run `{kind}`; it knows: {known}");
        return refuse(RefusalReason::Runtime, detail);
    }
    if agent.health.stopping {
        return refuse(RefusalReason::Stopping, "the agent is stopping".to_owned());
    }
    if agent.health.disk_full {
        let detail = "the agent's disk is too full to take on new work; free some space on it";
        return refuse(RefusalReason::DiskFull, detail.to_owned());
    }
    let tasks_max = usize::try_from(agent.facts.tasks_max).unwrap_or(usize::MAX);
    if agent.live.len() >= tasks_max {
        let detail = format!("{} tasks are held, at most {tasks_max} may be", agent.live.len());
        return refuse(RefusalReason::Busy, detail);
    }
    let held = agent.live.len() + agent.finished.len();
    if held >= agent.settings.held_max {
        let detail = format!(
            "the ends of {} tasks wait to be acknowledged by the core; nothing more is taken on until they are",
            agent.finished.len()
        );
        return refuse(RefusalReason::Busy, detail);
    }
    let shortages = agent.facts.capacity.shortages(&agent.reserved, &order.needs);
    if let Some(shortage) = shortages.first() {
        return refuse(RefusalReason::Resources, describe(shortage));
    }
    Ok(())
}

fn describe(shortage: &Shortage) -> String {
    let Shortage { resource, needed, free, capacity } = shortage;
    let (name, unit) = match resource {
        Resource::Cpu => ("processor", " thousandths of a core"),
        Resource::Memory => ("memory", " MiB"),
        Resource::Disk => ("disk", " MiB"),
        Resource::Bandwidth => ("bandwidth", " kbit/s"),
        // Bounded: a name from a task may be long.
        Resource::Device(name) => (name.get(..64).unwrap_or(name), ""),
    };
    format!("{name}: {needed}{unit} needed, {free} of {capacity} free")
}

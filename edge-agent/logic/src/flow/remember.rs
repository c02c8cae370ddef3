//! What may wait is written down with what is written anyway, or after a while: when the core was
//! last heard, the last time that was believed, and how far attempts have come. Every write wears
//! the flash.

use shared::time::Now;

use crate::agent::Agent;
use crate::change::Change;
use crate::effect::Outcome;

/// What is this old is written down with the next thing that is written anyway, in milliseconds.
const FREE_RIDE_MS: u64 = 10_000;

/// Writes down what has waited for long enough.
pub(crate) fn tick(agent: &mut Agent, out: &mut Outcome, now: Now) {
    let age_ms = now.mono.since_ms(agent.saved);
    let due = age_ms >= agent.settings.contact_save_ms;
    let free = !out.changes.is_empty() && age_ms >= FREE_RIDE_MS;
    let link = &agent.link;
    let first = link.saved_at.is_none() && link.heard_at.is_some();
    // A floor that was too high is put right at once: after a crash it would be believed again.
    let lowered = agent.floor_saved.is_some_and(|saved| saved > agent.clock.floor());
    if !(due || free || first || lowered) {
        return;
    }
    let before = out.changes.len();
    if let Some(at) = link.heard_at.filter(|at| link.saved_at != Some(*at)) {
        agent.link.saved_at = Some(at);
        out.changes.push(Change::Heard { at });
    }
    let floor = agent.clock.floor();
    if agent.floor_saved != Some(floor) {
        agent.floor_saved = Some(floor);
        out.changes.push(Change::Believed { at: floor });
    }
    for (id, progress) in agent.progress.take_unsaved() {
        out.changes.push(Change::ProgressPut { id, progress });
    }
    if out.changes.len() > before {
        agent.saved = now.mono;
    }
}

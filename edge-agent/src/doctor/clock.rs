//! Whether the board knows what time it is.

use edge_agent_logic::clock::{CORE_MS, JUMP_MS, Trust};

use super::{Finding, Patient};
use crate::app::BUILT_AT;
use crate::look::{doubt, duration};

const WHAT: &str = "clock";
/// What to do, and what goes on meanwhile.
const WAY_OUT: &str = "Nothing is decided by it meanwhile: timeouts, leases and retries go by a clock that nobody can set. Set it, or let NTP do so: timedatectl set-ntp true. A board without a battery for its clock wakes up like this.";

pub(super) fn findings(patient: &Patient) -> Vec<Finding> {
    let wall = patient.now.wall;
    let floor = patient.glance.as_ref().and_then(|glance| glance.clock_floor);
    let floor = floor.map_or(BUILT_AT, |floor| floor.max(BUILT_AT));
    if floor.since_ms(wall) > JUMP_MS {
        let detail = format!("it shows {wall}, and it was {floor} before");
        return vec![Finding::warn(WHAT, detail, WAY_OUT.to_owned())];
    }
    let Some(glance) = &patient.glance else {
        return vec![Finding::ok(WHAT, format!("it shows {wall}; no core has confirmed it yet"))];
    };
    if let (Trust::Unsynced { why }, true) = (glance.clock, patient.user.is_some()) {
        let detail = format!("it shows {wall}, which the agent does not believe: {}", doubt(&why));
        return vec![Finding::warn(WHAT, detail, WAY_OUT.to_owned())];
    }
    let found = match glance.clock_offset_ms {
        None => Finding::ok(WHAT, format!("it shows {wall}; no core has confirmed it yet")),
        Some(offset_ms) => {
            let apart = duration(offset_ms.unsigned_abs() / 1_000);
            let detail = format!("it shows {wall}, {apart} from the core's when it was last heard");
            if offset_ms.unsigned_abs() > CORE_MS {
                Finding::warn(WHAT, detail, WAY_OUT.to_owned())
            } else {
                Finding::ok(WHAT, detail)
            }
        }
    };
    vec![found]
}

//! Whether there is room on the disk, and how much of it was written today.

use super::{Finding, Patient};
use crate::probe::HostProbe;
use crate::room::Room;

pub(super) fn findings(patient: &Patient) -> Vec<Finding> {
    let Ok(config) = &patient.config else { return Vec::new() };
    let Some(free_mib) = HostProbe::new(&patient.data).sample().disk_free_mib else {
        return Vec::new();
    };
    let room = Room::new(&patient.data, config.ballast_mib);
    vec![free(free_mib, config.disk_reserve_mib), ballast(&room, free_mib)]
}

fn free(free_mib: u64, reserve_mib: u64) -> Finding {
    const WHAT: &str = "free space";
    let detail = format!("{free_mib} MiB, of which {reserve_mib} are to stay free");
    if free_mib == 0 {
        let way_out = "Free some. Logs and ballast give way to what has to be written; when they are gone, ends of tasks wait until there is room.";
        Finding::fail(WHAT, detail, way_out.to_owned())
    } else if free_mib < reserve_mib {
        let way_out =
            "Free some, or lower disk_reserve_mib: nothing new is taken on. What is held goes on.";
        Finding::warn(WHAT, detail, way_out.to_owned())
    } else {
        Finding::ok(WHAT, detail)
    }
}

fn ballast(room: &Room, free_mib: u64) -> Finding {
    const WHAT: &str = "ballast";
    let wanted = room.ballast().wanted_mib();
    let held = room.ballast().held_bytes() / 1_048_576;
    if wanted == 0 {
        let way_out = "With some (disk.ballast_mib), the ends of tasks can be written even when the disk is full.";
        return Finding::warn(WHAT, "none is wanted", way_out.to_owned());
    }
    if held >= wanted {
        return Finding::ok(WHAT, format!("{held} MiB, to let go when the disk is full"));
    }
    let detail = format!("{held} of {wanted} MiB, {free_mib} MiB are free");
    let way_out =
        "The agent makes it while it runs, as soon as there is room for it beside the reserve.";
    Finding::warn(WHAT, detail, way_out.to_owned())
}

//! Whether there is room on the disk, and how much of it was written today.

use super::{Finding, Patient};
use crate::probe::HostProbe;
use crate::room::Room;

const BYTES_PER_MIB: u64 = 1024 * 1024;
const DAY_MS: u64 = 24 * 3_600 * 1_000;

pub(super) fn findings(patient: &Patient) -> Vec<Finding> {
    let Ok(config) = &patient.config else { return Vec::new() };
    let Some(free_mib) = HostProbe::new(&patient.data).sample().disk_free_mib else {
        return Vec::new();
    };
    let room = Room::new(&patient.data, config.ballast_mib);
    let mut findings = vec![free(free_mib, config.disk_reserve_mib), ballast(&room, free_mib)];
    findings.extend(flash(patient, config.flash_bytes_per_day));
    findings
}

fn flash(patient: &Patient, budget: Option<u64>) -> Option<Finding> {
    const WHAT: &str = "flash";
    let counted = patient.glance.as_ref()?.flash?;
    let mib = |bytes: u64| bytes as f64 / BYTES_PER_MIB as f64;
    let today = u64::try_from(patient.now.wall.0).unwrap_or(0) / DAY_MS;
    let written = if counted.day == today { counted.bytes } else { 0 };
    let Some(budget) = budget else {
        let detail = format!("{:.1} MiB written today, without a bound", mib(written));
        return Some(Finding::ok(WHAT, detail));
    };
    let detail = format!("{:.1} of {:.0} MiB written today", mib(written), mib(budget));
    Some(if written >= budget {
        let way_out = "No logs are kept until tomorrow, and progress and times are not written down; the ends of tasks are. If the disk can take it, raise flash.bytes_per_day.";
        Finding::warn(WHAT, detail, way_out.to_owned())
    } else {
        Finding::ok(WHAT, detail)
    })
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
    let held = room.ballast().held_bytes() / BYTES_PER_MIB;
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

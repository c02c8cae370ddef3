//! Schedules and firings as the API shows them, made of their rows.

use std::sync::Arc;

use cloud_core_logic::firing::{FiringResult, FiringRow, ScheduleRow};
use shared::api::{FiringDocument, FiringStatus, ScheduleDocument, ScheduleKind, ScheduleSummary};
use shared::schedule::{Timetable, Window, Zones};
use shared::task::TaskStatus;
use shared::time::Timestamp;

use crate::store::{Reader, StoreError, TaskFilter};

/// The most tasks under way that are told.
const UNDER_WAY_MAX: usize = 100;

/// A schedule in a list.
pub fn summary(row: &ScheduleRow, zones: &dyn Zones, now: Timestamp) -> ScheduleSummary {
    let spec = &row.spec;
    ScheduleSummary {
        name: spec.name.clone(),
        id: row.id,
        labels: spec.labels.clone(),
        kind: if spec.resident.is_some() { ScheduleKind::Resident } else { ScheduleKind::Core },
        trigger: spec.trigger.clone(),
        paused: row.paused,
        version: row.version,
        next: next(row, zones, now),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

fn next(row: &ScheduleRow, zones: &dyn Zones, now: Timestamp) -> Option<Timestamp> {
    if row.paused {
        return None;
    }
    let spec = &row.spec;
    let window = Window {
        starts_at: spec.starts_at,
        ends_at: spec.ends_at,
        exclude_days: spec.exclude_days.clone(),
    };
    // The zone of a schedule that was taken may be gone from the machine since.
    let timetable = Timetable::new(&spec.trigger, &window, row.created_at, zones).ok()?;
    timetable.next(row.through.max(now))
}

/// A schedule in full.
///
/// # Errors
/// When the store cannot be read.
pub fn document(
    row: &ScheduleRow,
    reader: &dyn Reader,
    zones: &dyn Zones,
    now: Timestamp,
) -> Result<ScheduleDocument, StoreError> {
    let mut under_way = Vec::new();
    for (_, status) in TaskStatus::ALL {
        let room = UNDER_WAY_MAX - under_way.len();
        if status.is_settled() || room == 0 {
            continue;
        }
        let filter =
            TaskFilter { status: Some(status), schedule: Some(row.id), ..TaskFilter::default() };
        let page = reader.tasks(&filter, room, None)?;
        under_way.extend(page.items.into_iter().map(|task| task.id));
    }
    Ok(ScheduleDocument {
        summary: summary(row, zones, now),
        spec: Arc::clone(&row.spec),
        through: row.through,
        under_way,
    })
}

/// What became of a moment.
pub fn firing(row: &FiringRow) -> FiringDocument {
    let mut document = FiringDocument {
        at: row.at,
        agent: row.agent.clone(),
        version: row.version,
        status: FiringStatus::Queued,
        reason: None,
        detail: None,
        task: None,
        upto: None,
        count: None,
        recorded_at: row.recorded_at,
    };
    match &row.result {
        FiringResult::Fired { task } => {
            document.status = FiringStatus::Fired;
            document.task = Some(*task);
        }
        FiringResult::Queued { .. } => {}
        FiringResult::Skipped { because, detail } => {
            document.status = FiringStatus::Skipped;
            document.reason = Some(because.name().to_owned());
            document.detail = Some(detail.clone());
        }
        FiringResult::Missed { upto, count } => {
            document.status = FiringStatus::Missed;
            document.upto = Some(*upto);
            document.count = Some(*count);
        }
    }
    document
}

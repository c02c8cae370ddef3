//! Schedules are found as maps would find them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shared::schedule::{IntervalTrigger, OnlyUtc};
use shared::spec::Run;
use uuid::Uuid;

use super::*;

const INTERVAL: IntervalTrigger =
    IntervalTrigger { interval_s: 60, anchor: None, after_end: false };

fn row(id: ScheduleId, name: &ScheduleName) -> ScheduleRow {
    let task = Arc::new(TaskSpec::new(Run::Noop {}));
    ScheduleRow {
        id,
        spec: Arc::new(ScheduleSpec::new(name.clone(), Trigger::Interval(INTERVAL), task)),
        version: 1,
        created_at: Timestamp(0),
        updated_at: Timestamp(0),
        paused: false,
        through: Timestamp(0),
    }
}

proptest! {
    /// Each step puts the schedule of a number, or takes it out; a name that is free again goes to
    /// another id.
    #[test]
    fn they_are_found_as_in_maps(
        steps in proptest::collection::vec((0..4_u8, 0..40_u64), 0..200),
    ) {
        let mut schedules = Schedules::new(Arc::new(OnlyUtc));
        let mut by_name: BTreeMap<ScheduleName, (ScheduleId, Slot)> = BTreeMap::new();
        let mut gone = Vec::new();
        for (step, (what, number)) in (1..).zip(steps) {
            let name: ScheduleName = format!("schedule-{number}").parse().expect("a name");
            match (what, by_name.get(&name).copied()) {
                (0, Some((id, slot))) => {
                    prop_assert_eq!(schedules.remove(slot).map(|it| it.id), Some(id));
                    by_name.remove(&name);
                    gone.push((name, id));
                }
                (0, None) => {}
                (_, known) => {
                    let fresh = ScheduleId(Uuid::from_u64_pair(number, step));
                    let row = row(known.map_or(fresh, |(id, _)| id), &name);
                    let timetable = schedules.timetable(&row.spec, row.created_at);
                    let slot = schedules.put(&row, timetable.expect("a timetable"));
                    prop_assert!(known.is_none_or(|(_, before)| before == slot));
                    schedules.set_due(slot, Some(Timestamp(1)));
                    by_name.insert(name, (row.id, slot));
                }
            }
            prop_assert_eq!((schedules.len(), schedules.due_count()), (by_name.len(), by_name.len()));
            let kept = (schedules.by_name.len(), schedules.by_id.len());
            prop_assert_eq!(kept, (by_name.len(), by_name.len()), "nothing is left of those that went");
            for (name, (id, slot)) in &by_name {
                prop_assert_eq!(schedules.named(name), Some(*slot));
                prop_assert_eq!(schedules.of_id(*id), Some(*slot));
            }
            for (name, id) in &gone {
                prop_assert_eq!(schedules.of_id(*id), None);
                prop_assert_eq!(schedules.named(name).is_some(), by_name.contains_key(name));
            }
            let mut slots: Vec<Slot> = by_name.values().map(|(_, slot)| *slot).collect();
            slots.sort_unstable();
            prop_assert_eq!(schedules.slots(), slots);
        }
    }
}

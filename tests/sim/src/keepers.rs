//! Those who keep schedules: each carries out what is planned for its schedule, asks again until the
//! store shows it, and lets all of them rest at the end.

use std::sync::Arc;

use cloud_core_logic::firing::ScheduleRow;
use cloud_core_logic::input::{PutSchedule, ScheduleOperation};
use cloud_core_logic::{Input, ReplyTo};
use shared::schedule::ScheduleSpec;

use crate::event::Event;
use crate::failure::ensure;
use crate::schedules::{self, Deed};
use crate::trace::Who;
use crate::world::World;

/// A caller who looks into the store instead.
const NOBODY: ReplyTo = ReplyTo(u64::MAX);
/// How often a keeper asks for one thing: clocks may have passed every moment of what it wants.
const TRIES_MAX: u32 = 8;
/// How long after the faults schedules go on, in milliseconds: agents come to hold what they should.
const REST_MS: u64 = 40_000;
/// How long after the faults they hold it at the latest, in milliseconds.
const HOLD_MS_MAX: u64 = 900_000;

impl World {
    pub fn furnish_keepers(&mut self) {
        for schedule in 0..self.plan.schedules.len() {
            for deed in 0..self.plan.schedules[schedule].deeds.len() {
                let at_ms = self.plan.schedules[schedule].deeds[deed].at_ms;
                self.at(at_ms, Event::Deed { schedule, deed, tries: 0 });
            }
        }
    }

    /// Does something to a schedule, and looks later whether it is done.
    pub fn do_deed(&mut self, schedule: usize, deed: usize, tries: u32) {
        if !self.chaos || tries == TRIES_MAX {
            return;
        }
        let again_ms = self.chance.between(50, 4_000);
        let again = Event::Deed { schedule, deed, tries: tries + 1 };
        if self.core.cloud.is_none() || self.core.stuck.is_some() {
            self.after(again_ms, again);
            return;
        }
        let planned = &self.plan.schedules[schedule];
        let number = planned.number;
        let deed = planned.deeds[deed].deed.clone();
        let before = self.schedule_named(&schedules::name(number));
        let operation = match deed {
            Deed::Put(spec) => {
                if before.as_ref().is_some_and(|row| row.spec == spec) {
                    return;
                }
                self.note(Who::Client(number), |_| format!("puts {}", words(&spec)));
                let wish = PutSchedule { before, spec, only_new: false, reply: NOBODY };
                self.tell_core(Input::PutSchedule(Box::new(wish)));
                self.after(again_ms, again);
                return;
            }
            Deed::Pause => ScheduleOperation::Pause,
            Deed::Resume => ScheduleOperation::Resume,
            Deed::Fire => ScheduleOperation::Fire,
            Deed::Delete => ScheduleOperation::Delete,
        };
        let Some(before) = before else {
            return;
        };
        let done = match operation {
            ScheduleOperation::Pause => before.paused,
            ScheduleOperation::Resume => !before.paused,
            _ => false,
        };
        if done {
            return;
        }
        self.operate_schedule(before, operation);
        // Asked for twice, it would fire twice.
        if operation != ScheduleOperation::Fire {
            self.after(again_ms, again);
        }
    }

    fn schedule_named(&self, name: &str) -> Option<Box<ScheduleRow>> {
        let mut rows = self.core.maps.schedules.values();
        rows.find(|row| row.spec.name.as_str() == name).cloned().map(Box::new)
    }

    fn operate_schedule(&mut self, before: Box<ScheduleRow>, operation: ScheduleOperation) {
        let name = before.spec.name.clone();
        self.note(Who::World, |_| format!("{operation:?} {name}"));
        self.ask_core(Input::OperateSchedule { before, operation, reply: NOBODY });
    }

    /// The faults are over: some time later schedules are paused or deleted, and nothing comes of them
    /// any more. Whether that time has come.
    pub fn rest_schedules(&mut self) -> bool {
        if self.plan.schedules.is_empty() {
            return true;
        }
        if self.now_ms < self.calm_since_ms + REST_MS {
            return false;
        }
        if let Err(wrong) = self.hold_what_they_should() {
            let in_time = self.now_ms < self.calm_since_ms + HOLD_MS_MAX;
            ensure(in_time, "agents_hold_what_they_should", || wrong);
            return false;
        }
        let live = self.core.maps.schedules.values().filter(|row| !row.paused);
        for row in live.cloned().collect::<Vec<_>>() {
            let deleted = row.id.0.as_u128() & 1 == 0;
            let operation = match deleted {
                true => ScheduleOperation::Delete,
                false => ScheduleOperation::Pause,
            };
            self.operate_schedule(Box::new(row), operation);
        }
        true
    }
}

fn words(spec: &Arc<ScheduleSpec>) -> String {
    format!("{}: {}", spec.name, schedules::describe(spec))
}

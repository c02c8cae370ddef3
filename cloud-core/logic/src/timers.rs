//! What is to happen when time has passed. Each alarm is set at most once: setting it again moves
//! it. Alarms are not stored; they follow from the rows and are set anew at the start.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::{AgentId, TaskId};
use shared::time::Monotonic;

/// Something to look at when its time has come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// An agent may have been silent for too long.
    Silence(AgentId),
    /// An agent may not have applied what it was sent.
    Resend(AgentId),
    /// A task's deadline.
    Deadline(TaskId),
    /// A task's wait before the next attempt is over.
    BackOff(TaskId),
    /// A task's offer was not answered.
    Offer(TaskId),
    /// A task's agent has been silent for as long as the task allows.
    Lost(TaskId),
    /// A task was to be stopped and nothing was heard of it.
    Stop(TaskId),
    /// An agent that a task avoided may be tried again.
    Avoid(TaskId),
    /// Parts of what an agent holds have not come.
    Inventory(AgentId),
    /// The agents of a restored core have had their time.
    Recovered,
}

/// All alarms by time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Monotonic, Alarm)>,
    by_alarm: BTreeMap<Alarm, Monotonic>,
}

impl Timers {
    /// Sets an alarm, or moves it.
    pub(crate) fn set(&mut self, alarm: Alarm, at: Monotonic) {
        self.clear(&alarm);
        self.by_time.insert((at, alarm.clone()));
        self.by_alarm.insert(alarm, at);
    }

    /// Sets an alarm unless it is set already.
    pub(crate) fn set_if_unset(&mut self, alarm: Alarm, at: Monotonic) {
        if !self.by_alarm.contains_key(&alarm) {
            self.set(alarm, at);
        }
    }

    /// Whether an alarm is set.
    pub(crate) fn is_set(&self, alarm: &Alarm) -> bool {
        self.by_alarm.contains_key(alarm)
    }

    /// Takes an alarm back.
    pub(crate) fn clear(&mut self, alarm: &Alarm) {
        if let Some(at) = self.by_alarm.remove(alarm) {
            self.by_time.remove(&(at, alarm.clone()));
        }
    }

    /// Takes back every alarm of a task.
    pub(crate) fn clear_task(&mut self, task: TaskId) {
        self.clear(&Alarm::Deadline(task));
        self.clear(&Alarm::BackOff(task));
        self.clear(&Alarm::Avoid(task));
        self.clear_attempt(task);
    }

    /// Takes back every alarm about a task's attempt.
    pub(crate) fn clear_attempt(&mut self, task: TaskId) {
        self.clear(&Alarm::Offer(task));
        self.clear(&Alarm::Lost(task));
        self.clear(&Alarm::Stop(task));
    }

    /// When the first alarm rings.
    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the first alarm that has rung by now.
    pub(crate) fn pop(&mut self, now: Monotonic) -> Option<Alarm> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, alarm) = self.by_time.pop_first()?;
        self.by_alarm.remove(&alarm);
        Some(alarm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn setting_an_alarm_again_moves_it() {
        let task = TaskId(Uuid::nil());
        let mut timers = Timers::default();
        timers.set(Alarm::Lost(task), Monotonic(5));
        timers.set(Alarm::Lost(task), Monotonic(9));
        timers.set_if_unset(Alarm::Lost(task), Monotonic(1));
        assert_eq!(timers.pop(Monotonic(8)), None);
        assert_eq!(timers.pop(Monotonic(9)), Some(Alarm::Lost(task)));
        assert_eq!(timers.next(), None);
        timers.set(Alarm::Stop(task), Monotonic(1));
        timers.clear_task(task);
        assert_eq!(timers.next(), None);
    }
}

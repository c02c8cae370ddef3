//! The schedules of a world, fixed before it begins: what fires when and by which rules, and what is
//! done to each while it does. Two worlds in three have none. Each draws from a stream of its own, so
//! that a failing world can be tried without any of them.

use std::fmt::Write;
use std::sync::Arc;

use shared::schedule::{
    AgentChange, AgentEvent, CronTrigger, Dst, EventTrigger, IntervalTrigger, MissedRule,
    OutcomeEvent, Overlap, Resident, ScheduleSpec, Trigger,
};
use shared::spec::{Run, TaskSpec};
use shared::time::Timestamp;

use crate::chance::{Chance, Stream};
use crate::plan::Plan;
use crate::specs;
use crate::world::EPOCH_MS;
use crate::zones;

/// How many worlds in a hundred have schedules.
const WORLDS_PERCENT: u64 = 33;
/// How long a task that agents make waits for its agent, in seconds.
const WAITS_S: u64 = 120;
/// Two streams of one schedule: what it is, and what is done to it.
const STREAMS: u64 = 2;

/// A schedule that somebody will make.
#[derive(Debug, Clone)]
pub struct PlannedSchedule {
    pub number: usize,
    /// What is done to it, in order: it is made first.
    pub deeds: Vec<PlannedDeed>,
}

/// Something that somebody does to a schedule.
#[derive(Debug, Clone)]
pub struct PlannedDeed {
    pub at_ms: u64,
    pub deed: Deed,
}

/// What is done to a schedule.
#[derive(Debug, Clone)]
pub enum Deed {
    Put(Arc<ScheduleSpec>),
    Pause,
    Resume,
    Fire,
    Delete,
}

/// The time of a world: when it begins by a right clock, and which zone's clocks change in it.
#[derive(Debug, Clone, Copy)]
struct Times {
    epoch_ms: i64,
    chaos_ms: u64,
    change: Option<(&'static str, u8)>,
}

/// When a world begins, and its schedules.
pub fn schedules(plan: &Plan) -> (i64, Vec<PlannedSchedule>) {
    let mut chance = Chance::new(plan.seed, Stream::Schedules, 0);
    if !chance.percent(WORLDS_PERCENT) {
        return (EPOCH_MS, Vec::new());
    }
    let chaos_ms = plan.chaos_ms;
    let before_ms = |chance: &mut Chance| i64::try_from(chance.below(chaos_ms)).expect("a time");
    let times = match chance.percent(40) {
        true => {
            let (zone, at_ms, hour) = chance.pick(&zones::CHANGES);
            let epoch_ms = at_ms - before_ms(&mut chance);
            Times { epoch_ms, chaos_ms, change: Some((zone, hour)) }
        }
        false => Times { epoch_ms: EPOCH_MS + before_ms(&mut chance), chaos_ms, change: None },
    };
    let most = if plan.agents > 4 { 6 } else { 4 };
    let count = usize::try_from(chance.between(1, most)).expect("small");
    (times.epoch_ms, (0..count).map(|number| schedule(plan, times, number)).collect())
}

/// The name of a schedule by its number.
pub fn name(number: usize) -> String {
    format!("schedule-{number}")
}

fn schedule(plan: &Plan, times: Times, number: usize) -> PlannedSchedule {
    let stream = STREAMS * number as u64 + 1;
    let mut chance = Chance::new(plan.seed, Stream::Schedules, stream);
    let first = spec(&mut chance, plan, times, number);
    let made_ms = match chance.percent(60) {
        true => chance.between(50, 3_000),
        false => chance.below(times.chaos_ms),
    };
    let mut deeds = vec![PlannedDeed { at_ms: made_ms, deed: Deed::Put(Arc::new(first.clone())) }];
    let mut chance = Chance::new(plan.seed, Stream::Schedules, stream + 1);
    let mut last = first;
    let mut at_ms = made_ms;
    for version in 1..chance.spread(1, 8) {
        let left_ms = times.chaos_ms.saturating_sub(at_ms);
        at_ms += chance.between(1, (left_ms / 2).max(1));
        let deed = match chance.below(100) {
            0..40 => {
                last = edited(&mut chance, &last, plan, times, number, version);
                Deed::Put(Arc::new(last.clone()))
            }
            40..55 => Deed::Pause,
            55..72 => Deed::Resume,
            72..90 => Deed::Fire,
            _ => Deed::Delete,
        };
        deeds.push(PlannedDeed { at_ms, deed });
    }
    // By hand, at a moment of its own.
    if let (Trigger::At { at }, true) = (&last.trigger, chance.percent(50)) {
        let at_ms = u64::try_from(at[0].0 - times.epoch_ms).expect("a moment of the world");
        deeds.push(PlannedDeed { at_ms, deed: Deed::Fire });
    }
    PlannedSchedule { number, deeds }
}

/// Another version: with another task, and other rules, another trigger or another who fires it.
fn edited(
    chance: &mut Chance,
    last: &ScheduleSpec,
    plan: &Plan,
    times: Times,
    number: usize,
    version: u64,
) -> ScheduleSpec {
    let fresh = spec(chance, plan, times, number);
    let mut edited = match chance.below(3) {
        0 => fresh,
        1 => ScheduleSpec { trigger: last.trigger.clone(), resident: last.resident, ..fresh },
        _ => ScheduleSpec { task: Arc::clone(&fresh.task), ..last.clone() },
    };
    // What one version runs, no other does.
    let mut task = TaskSpec::clone(&edited.task);
    mark(&mut task, number, version);
    bind(&mut task, edited.resident.is_some(), plan.slow);
    edited.task = Arc::new(task);
    fit(&mut edited);
    edited
}

fn mark(task: &mut TaskSpec, number: usize, version: u64) {
    if let Run::Exec(exec) = &mut task.run {
        exec.args = vec![format!("{number}.{version}")];
    }
}

/// What agents fire stays with its agent, which may be taken away: it waits for a time only.
fn bind(task: &mut TaskSpec, resident: bool, slow: bool) {
    if resident {
        let waits_s = if slow { 4_000 } else { WAITS_S };
        (task.exclusive, task.deadline_s) = (false, task.deadline_s.or(Some(waits_s)));
    }
}

/// Leaves out what does not go together.
fn fit(spec: &mut ScheduleSpec) {
    let after_end = matches!(&spec.trigger, Trigger::Interval(interval) if interval.after_end);
    if after_end && matches!(spec.overlap, Overlap::Queue | Overlap::Replace) {
        spec.overlap = Overlap::Forbid;
    }
    if matches!(spec.trigger, Trigger::Event { .. }) {
        spec.resident = None;
    }
}

fn spec(chance: &mut Chance, plan: &Plan, times: Times, number: usize) -> ScheduleSpec {
    let resident = chance.percent(45).then(|| Resident {
        best: chance.percent(35).then(|| if chance.percent(60) { 1 } else { 2 }),
    });
    let mut task = specs::make(chance, plan, if resident.is_some() { 0 } else { 15 });
    bind(&mut task, resident.is_some(), plan.slow);
    mark(&mut task, number, 0);
    let trigger = trigger(chance, times, number, resident.is_some());
    let name = name(number).parse().expect("a name");
    let at = |ms: u64| Timestamp(times.epoch_ms).plus_ms(i64::try_from(ms).expect("a time"));
    let half_ms = times.chaos_ms / 2;
    let mut spec = ScheduleSpec {
        starts_at: chance.percent(15).then(|| at(chance.below(half_ms))),
        ends_at: chance.percent(15).then(|| at(half_ms + chance.below(half_ms))),
        jitter_s: if chance.percent(30) { chance.between(1, 10) } else { 0 },
        missed: chance.pick(&MissedRule::ALL).1,
        missed_max: u32::try_from(chance.between(1, 5)).expect("small"),
        catch_up_s: chance.pick(&[2, 30, 86_400]),
        overlap: chance.pick(&Overlap::ALL).1,
        queue_max: u32::try_from(chance.between(1, 4)).expect("small"),
        resident,
        ..ScheduleSpec::new(name, trigger, Arc::new(task))
    };
    fit(&mut spec);
    spec
}

fn trigger(chance: &mut Chance, times: Times, number: usize, resident: bool) -> Trigger {
    let chaos_s = times.chaos_ms / 1_000;
    let interval_s = chance.spread((chaos_s / 25).max(1), (chaos_s / 4).max(2));
    let within = |chance: &mut Chance| {
        let ms = i64::try_from(chance.below(times.chaos_ms)).expect("a time");
        Timestamp(times.epoch_ms).plus_ms(ms)
    };
    let events = if resident { 0 } else { 12 };
    let which = chance.below(88 + events);
    // Where clocks change, most go by clocks.
    let by_clock = times.change.is_some() && which < 88 && chance.percent(60);
    match which {
        _ if by_clock => Trigger::Cron(cron(chance, times, interval_s)),
        0..12 => Trigger::Interval(IntervalTrigger { interval_s, anchor: None, after_end: true }),
        12..45 => {
            let anchor = chance.percent(40).then(|| within(chance));
            Trigger::Interval(IntervalTrigger { interval_s, anchor, after_end: false })
        }
        45..75 => Trigger::Cron(cron(chance, times, interval_s)),
        75..88 => {
            let count = chance.between(1, 4);
            Trigger::At { at: (0..count).map(|_| within(chance)).collect() }
        }
        _ => Trigger::Event { event: event(chance, number) },
    }
}

fn event(chance: &mut Chance, number: usize) -> EventTrigger {
    // Of the one before, if there is one: so none waits for itself.
    match number.checked_sub(1).filter(|_| chance.percent(60)) {
        Some(before) => {
            let schedule = Some(name(before).parse().expect("a name"));
            EventTrigger::Outcome(OutcomeEvent { task: None, schedule, status: Vec::new() })
        }
        None => EventTrigger::Agent(AgentEvent {
            becomes: chance.pick(&[AgentChange::Online, AgentChange::Offline]),
            area: None,
            agents: Vec::new(),
            labels: Default::default(),
        }),
    }
}

/// An expression that fires about so often, in the hours around a change of clocks if there is one.
fn cron(chance: &mut Chance, times: Times, interval_s: u64) -> CronTrigger {
    let (hours, zone) = match times.change {
        None => ("*".to_owned(), chance.percent(30).then_some("Europe/Berlin")),
        Some((zone, hour)) => match chance.below(3) {
            0 => ("*".to_owned(), Some(zone)),
            1 => (format!("{hour}"), Some(zone)),
            _ => (format!("{}-{}", hour - 1, hour + 1), Some(zone)),
        },
    };
    let all_minutes = if chance.percent(50) { "*" } else { "0-59" };
    let mut cron = String::new();
    let seconds = interval_s < 60;
    let _ = match seconds {
        true => write!(cron, "*/{interval_s} {all_minutes} {hours} * * *"),
        false => write!(cron, "{all_minutes}/{} {hours} * * *", (interval_s / 60).min(30)),
    };
    CronTrigger {
        cron,
        fields: seconds.then_some(6),
        zone: zone.map(str::to_owned),
        dst: chance.percent(60).then(|| chance.pick(&Dst::ALL).1),
    }
}

impl PlannedSchedule {
    /// What is made first.
    pub fn words(&self) -> String {
        let Some(Deed::Put(spec)) = self.deeds.first().map(|planned| &planned.deed) else {
            return String::new();
        };
        let more = self.deeds.len() - 1;
        format!("{}, {more} deeds: {}", name(self.number), describe(spec))
    }
}

/// A schedule in one line.
pub fn describe(spec: &ScheduleSpec) -> String {
    let trigger = match &spec.trigger {
        Trigger::Cron(CronTrigger { cron, zone, dst, .. }) => {
            format!("`{cron}` of {}, {dst:?}", zone.as_deref().unwrap_or("UTC"))
        }
        Trigger::Interval(interval) if interval.after_end => {
            format!("{} s after its end", interval.interval_s)
        }
        Trigger::Interval(interval) => match interval.anchor {
            Some(anchor) => format!("every {} s from {anchor}", interval.interval_s),
            None => format!("every {} s", interval.interval_s),
        },
        Trigger::At { at } => {
            let moments: Vec<String> = at.iter().map(ToString::to_string).collect();
            format!("at {}", moments.join(", "))
        }
        Trigger::Event { event: EventTrigger::Outcome(outcome) } => {
            format!("when {:?} is over", outcome.schedule.as_ref().map(ToString::to_string))
        }
        Trigger::Event { .. } => "when an agent changes".to_owned(),
    };
    let resident = match spec.resident {
        None => "by the core".to_owned(),
        Some(Resident { best: None }) => "by all agents".to_owned(),
        Some(Resident { best: Some(best) }) => format!("by the best {best} agents"),
    };
    format!(
        "{trigger}, {resident}; missed {:?} (at most {}, {} s late), overlap {:?} (queue {}), jitter {} s",
        spec.missed, spec.missed_max, spec.catch_up_s, spec.overlap, spec.queue_max, spec.jitter_s
    )
}

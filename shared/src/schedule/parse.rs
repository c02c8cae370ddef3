//! The border of schedules: a JSON value in, a [`ScheduleSpec`] or everything that is wrong with it
//! out. Whether a trigger ever fires, and whether its zone exists, is known once it is a
//! [`super::Timetable`].

use std::sync::Arc;

use serde_json::Value;

use super::event::{CONDITIONS_MAX, PAYLOAD_BYTES_MAX};
use super::{
    AgentChange, AgentEvent, Condition, CronTrigger, DAYS_MAX, Day, Dst, EventTrigger,
    IntervalTrigger, JITTER_S_MAX, MISSED_MAX, MOMENTS_MAX, MissedRule, MqttEvent, Operator,
    OutcomeEvent, Overlap, QUEUE_MAX, Resident, ScheduleSpec, TOPIC_BYTES_MAX, TopicFilterError,
    Trigger,
};
use crate::api::PreviewWish;
use crate::border::{Fields, Problem, Problems, choice, describe, text_of};
use crate::geo::{Area, AreaError};
use crate::id::ScheduleName;
use crate::spec::{self, TaskSpec, YEAR_S};
use crate::task::TaskStatus;
use crate::time::Timestamp;

const CRON_BYTES_MAX: usize = 1_024;
const ZONE_BYTES_MAX: usize = 64;

/// Reads a schedule.
///
/// # Errors
/// Every problem found (at most [`crate::border::PROBLEMS_MAX`]), each with its JSON pointer.
pub fn parse(document: &Value) -> Result<ScheduleSpec, Vec<Problem>> {
    let mut problems = Problems::default();
    let spec = schedule(document, &mut problems);
    finish(spec, problems, "is not a schedule")
}

/// Reads a trigger by itself; its problems have pointers below `/trigger`.
///
/// # Errors
/// Every problem found.
pub fn parse_trigger(document: &Value) -> Result<Trigger, Vec<Problem>> {
    let mut problems = Problems::default();
    let trigger = trigger(document, &mut problems);
    finish(trigger, problems, "is not a trigger")
}

/// The most firings of a preview.
const PREVIEW_MAX: u64 = 1_000;

/// Reads what to preview: a trigger, and what bounds it.
///
/// # Errors
/// Every problem found, each with its JSON pointer.
pub fn parse_preview(document: &Value) -> Result<PreviewWish, Vec<Problem>> {
    let mut problems = Problems::default();
    let wish = preview(document, &mut problems);
    finish(wish, problems, "is not a preview")
}

fn preview(document: &Value, problems: &mut Problems) -> Option<PreviewWish> {
    let mut fields = Fields::of(document, "", problems)?;
    let found = match fields.raw("trigger") {
        Some(value) => trigger(value, problems),
        None => {
            let detail = r#"is missing; write when it fires, for example {"cron": "30 2 * * *"}"#;
            problems.add("/trigger", detail);
            None
        }
    };
    if matches!(found, Some(Trigger::Event { .. })) {
        let detail = "nobody knows when an event will come: a preview is of a trigger that goes by \
                      the clock";
        problems.add("/trigger/event", detail);
    }
    let wish = PreviewWish {
        from: moment(&mut fields, "from", problems),
        count: fields.integer("count", 1..=PREVIEW_MAX, problems),
        starts_at: moment(&mut fields, "starts_at", problems),
        ends_at: moment(&mut fields, "ends_at", problems),
        exclude_days: days(&mut fields, problems),
        trigger: found?,
    };
    fields.finish(problems);
    Some(wish)
}

fn finish<T>(read: Option<T>, problems: Problems, wrong: &str) -> Result<T, Vec<Problem>> {
    match read {
        Some(read) => problems.into_result(read),
        None => {
            problems.into_result(())?;
            Err(vec![Problem { pointer: String::new(), detail: wrong.to_owned() }])
        }
    }
}

fn schedule(document: &Value, problems: &mut Problems) -> Option<ScheduleSpec> {
    let mut fields = Fields::of(document, "", problems)?;
    let name = name(&mut fields, "name", problems);
    if name.is_none() && fields.raw("name").is_none() {
        problems.add("/name", "is missing; give the schedule a name, such as `nightly-report`");
    }
    let labels = spec::labels(&mut fields, problems);
    let trigger = match fields.raw("trigger") {
        Some(value) => trigger(value, problems),
        None => {
            let detail = r#"is missing; write when it fires, for example {"cron": "30 2 * * *", "zone": "Europe/Berlin"}"#;
            problems.add("/trigger", detail);
            None
        }
    };
    let task = match fields.raw("task") {
        Some(value) => task(value, problems),
        None => {
            let detail = r#"is missing; write what each firing runs, for example {"run": {"exec": {"command": "/bin/true"}}}"#;
            problems.add("/task", detail);
            None
        }
    };
    let starts_at = moment(&mut fields, "starts_at", problems);
    let ends_at = moment(&mut fields, "ends_at", problems);
    if let (Some(starts), Some(ends)) = (starts_at, ends_at)
        && starts >= ends
    {
        problems.add("/ends_at", "must be later than `starts_at`");
    }
    let jitter_s = fields.integer("jitter_s", 0..=JITTER_S_MAX, problems);
    let exclude_days = days(&mut fields, problems);
    let missed = choice(&mut fields, "missed", &MissedRule::ALL, problems);
    let missed_max = fields.integer("missed_max", 1..=u64::from(MISSED_MAX), problems);
    let catch_up_s = fields.integer("catch_up_s", 0..=YEAR_S, problems);
    let overlap = choice(&mut fields, "overlap", &Overlap::ALL, problems);
    let queue_max = fields.integer("queue_max", 1..=u64::from(QUEUE_MAX), problems);
    let resident = fields.raw("resident").and_then(|value| resident(value, problems));
    fields.finish(problems);
    let usual = ScheduleSpec::new(name?, trigger?, Arc::new(task?));
    let number = |given: Option<u64>, usual: u32| {
        given.and_then(|number| u32::try_from(number).ok()).unwrap_or(usual)
    };
    let spec = ScheduleSpec {
        labels,
        starts_at,
        ends_at,
        jitter_s: jitter_s.unwrap_or(usual.jitter_s),
        exclude_days,
        missed: missed.unwrap_or(usual.missed),
        missed_max: number(missed_max, usual.missed_max),
        catch_up_s: catch_up_s.unwrap_or(usual.catch_up_s),
        overlap: overlap.unwrap_or(usual.overlap),
        queue_max: number(queue_max, usual.queue_max),
        resident,
        ..usual
    };
    what_goes_together(&spec, problems);
    Some(spec)
}

/// What each field allows, and all of them together do not.
fn what_goes_together(spec: &ScheduleSpec, problems: &mut Problems) {
    let after_end = matches!(&spec.trigger, Trigger::Interval(interval) if interval.after_end);
    if after_end && matches!(spec.overlap, Overlap::Queue | Overlap::Replace) {
        let detail = "with `after_end`, no firing comes before the last is over: leave it out";
        problems.add("/overlap", detail);
    }
    if spec.resident.is_some() && spec.task.exclusive {
        let detail = "a lease needs the core, and agents fire without it: leave one of the two out";
        problems.add("/task/exclusive", detail);
    }
    if spec.resident.is_some() && matches!(spec.trigger, Trigger::Event { .. }) {
        let detail = "agents fire by the clock, and not by events: leave it out, and the core \
                      places each firing";
        problems.add("/resident", detail);
    }
    if matches!(spec.trigger, Trigger::Event { .. }) && spec.jitter_s > 0 {
        problems.add("/jitter_s", "an event fires at once: leave it out");
    }
}

fn name(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<ScheduleName> {
    let pointer = fields.pointer_of(name);
    let text = text_of(fields.raw(name)?, pointer.clone(), 1_024, problems)?;
    text.parse().map_err(|error| problems.add(pointer, format!("{error}"))).ok()
}

fn task(document: &Value, problems: &mut Problems) -> Option<TaskSpec> {
    match spec::parse(document) {
        Ok(task) => Some(task),
        Err(found) => {
            for problem in found {
                problems.add(format!("/task{}", problem.pointer), problem.detail);
            }
            None
        }
    }
}

fn moment(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Option<Timestamp> {
    let pointer = fields.pointer_of(name);
    moment_of(fields.raw(name)?, pointer, problems)
}

fn moment_of(value: &Value, pointer: String, problems: &mut Problems) -> Option<Timestamp> {
    let read = serde_json::from_value(value.clone());
    if read.is_err() {
        let found = describe(value);
        let detail =
            format!("must be a time in RFC 3339, such as 2026-11-21T01:00:00Z, not {found}");
        problems.add(pointer, detail);
    }
    read.ok()
}

fn days(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Day> {
    let mut days = Vec::new();
    for (pointer, value) in fields.list("exclude_days", DAYS_MAX, problems) {
        match value.as_str().unwrap_or_default().parse() {
            Ok(day) => days.push(day),
            Err(error) => problems.add(pointer, format!("{error}")),
        }
    }
    days
}

fn resident(value: &Value, problems: &mut Problems) -> Option<Resident> {
    match value {
        Value::Bool(true) => return Some(Resident::default()),
        Value::Bool(false) => return None,
        _ => {}
    }
    let mut fields = Fields::of(value, "/resident", problems)?;
    let best = fields.integer("best", 1..=1_000, problems);
    fields.finish(problems);
    Some(Resident { best: best.and_then(|best| u32::try_from(best).ok()) })
}

fn trigger(value: &Value, problems: &mut Problems) -> Option<Trigger> {
    let mut fields = Fields::of(value, "/trigger", problems)?;
    const WAYS: [&str; 4] = ["cron", "interval_s", "at", "event"];
    let given: Vec<&str> = WAYS.into_iter().filter(|way| fields.raw(way).is_some()).collect();
    let trigger = match given[..] {
        ["cron"] => cron(&mut fields, problems).map(Trigger::Cron),
        ["interval_s"] => interval(&mut fields, problems).map(Trigger::Interval),
        ["at"] => moments(&mut fields, problems).map(|at| Trigger::At { at }),
        ["event"] => match fields.raw("event") {
            Some(value) => event(value, problems).map(|event| Trigger::Event { event }),
            None => None,
        },
        _ => {
            let detail = "must hold exactly one of `cron`, `interval_s`, `at` and `event`";
            problems.add("/trigger", detail);
            None
        }
    };
    fields.finish(problems);
    trigger
}

fn cron(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<CronTrigger> {
    let number = fields.integer("fields", 5..=7, problems);
    Some(CronTrigger {
        fields: number.and_then(|number| u8::try_from(number).ok()).filter(|number| *number != 5),
        zone: fields.text("zone", ZONE_BYTES_MAX, problems),
        dst: choice(fields, "dst", &Dst::ALL, problems),
        cron: fields.text("cron", CRON_BYTES_MAX, problems)?,
    })
}

fn interval(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<IntervalTrigger> {
    let anchor = moment(fields, "anchor", problems);
    let after_end = fields.boolean("after_end", problems).unwrap_or(false);
    if after_end && anchor.is_some() {
        let detail = "with `after_end`, it is counted from the end of the last task: leave it out";
        problems.add("/trigger/anchor", detail);
    }
    let interval_s = fields.integer("interval_s", 1..=YEAR_S, problems)?;
    Some(IntervalTrigger { interval_s, anchor, after_end })
}

fn moments(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Vec<Timestamp>> {
    let list = fields.list("at", MOMENTS_MAX, problems);
    let mut moments: Vec<Timestamp> = Vec::with_capacity(list.len());
    for (pointer, value) in list {
        moments.extend(moment_of(value, pointer, problems));
    }
    if moments.is_empty() {
        problems.add("/trigger/at", r#"must hold a time, such as ["2026-11-21T01:00:00Z"]"#);
        return None;
    }
    Some(moments)
}

fn event(value: &Value, problems: &mut Problems) -> Option<EventTrigger> {
    let mut fields = Fields::of(value, "/trigger/event", problems)?;
    const KINDS: [&str; 4] = ["webhook", "mqtt", "outcome", "agent"];
    let given: Vec<&str> = KINDS.into_iter().filter(|kind| fields.raw(kind).is_some()).collect();
    let mut inner = match given[..] {
        [kind] => fields.object(kind, problems)?,
        _ => {
            let detail = "must hold exactly one of `webhook`, `mqtt`, `outcome` and `agent`";
            problems.add("/trigger/event", detail);
            return None;
        }
    };
    let event = match given[0] {
        "webhook" => Some(EventTrigger::Webhook { when: conditions(&mut inner, problems) }),
        "mqtt" => mqtt(&mut inner, problems).map(EventTrigger::Mqtt),
        "outcome" => outcome(&mut inner, problems).map(EventTrigger::Outcome),
        _ => agent(&mut inner, problems).map(EventTrigger::Agent),
    };
    inner.finish(problems);
    fields.finish(problems);
    event
}

fn mqtt(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<MqttEvent> {
    let when = conditions(fields, problems);
    let at = fields.pointer_of("topic");
    let topic = fields.text("topic", TOPIC_BYTES_MAX, problems)?;
    let topic =
        topic.parse().map_err(|error: TopicFilterError| problems.add(at, error.to_string()));
    Some(MqttEvent { topic: topic.ok()?, when })
}

fn conditions(fields: &mut Fields<'_>, problems: &mut Problems) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if fields.is_null("when") {
        problems.add(fields.pointer_of("when"), "must be a list of conditions, or left out");
    }
    for (pointer, value) in fields.list("when", CONDITIONS_MAX, problems) {
        let Some(mut fields) = Fields::of(value, pointer, problems) else { continue };
        let at = fields.pointer_of("pointer");
        let path = fields.text("pointer", PAYLOAD_BYTES_MAX, problems);
        let op = choice(&mut fields, "op", &Operator::ALL, problems);
        let value_at = fields.pointer_of("value");
        let value = fields.raw("value").cloned().unwrap_or_default();
        let op_at = fields.pointer_of("op");
        if op.is_none() && fields.raw("op").is_none() {
            problems.add(op_at, "is missing; write for example `eq`");
        }
        fields.finish(problems);
        match op {
            Some(Operator::Gt | Operator::Ge | Operator::Lt | Operator::Le)
                if !value.is_number() =>
            {
                problems.add(value_at, format!("must be a number, not {}", describe(&value)));
            }
            Some(Operator::In) if !value.is_array() => {
                problems.add(value_at, format!("must be a list, not {}", describe(&value)));
            }
            _ => {}
        }
        match path {
            Some(path) if path.is_empty() || path.starts_with('/') => {
                conditions.extend(op.map(|op| Condition { pointer: path, op, value }));
            }
            _ => problems.add(at, "must be a JSON pointer, such as `/door/open`"),
        }
    }
    conditions
}

fn outcome(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<OutcomeEvent> {
    let task_at = fields.pointer_of("task");
    let task = match fields.text("task", 64, problems).map(|text| text.parse()) {
        Some(Err(error)) => {
            problems.add(task_at, format!("{error}"));
            return None;
        }
        read => read.and_then(Result::ok),
    };
    let schedule = name(fields, "schedule", problems);
    if task.is_some() == schedule.is_some() {
        let detail = "must name one of `task` (an id) and `schedule` (a name)";
        problems.add("/trigger/event/outcome", detail);
    }
    let settled = TaskStatus::ALL.into_iter().filter(|(_, status)| status.is_settled());
    let settled: Vec<(&str, TaskStatus)> = settled.collect();
    let mut status = Vec::new();
    for (pointer, value) in fields.list("status", settled.len(), problems) {
        let word = value.as_str().unwrap_or_default();
        match settled.iter().find(|(name, _)| *name == word) {
            Some((_, found)) => status.push(*found),
            None => {
                let known: Vec<&str> = settled.iter().map(|(name, _)| *name).collect();
                problems.add(pointer, format!("must be one of {}", known.join(", ")));
            }
        }
    }
    Some(OutcomeEvent { task, schedule, status })
}

fn agent(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<AgentEvent> {
    let becomes = choice(fields, "becomes", &AgentChange::ALL, problems);
    if becomes.is_none() && fields.raw("becomes").is_none() {
        let detail = "is missing; write `online`, `offline` or `inside`";
        problems.add("/trigger/event/agent/becomes", detail);
    }
    let area_at = fields.pointer_of("area");
    let area = fields.raw("area").and_then(|value| {
        let wrong = |error: AreaError| {
            problems.add(format!("{area_at}{}", error.pointer()), error.to_string());
        };
        Area::from_geojson(value).map_err(wrong).ok()
    });
    let inside = becomes == Some(AgentChange::Inside);
    if inside && area.is_none() {
        problems.add(area_at, "is missing: which area does the agent come into?");
    }
    let agents = spec::agents(fields, "agents", problems);
    let labels = spec::labels(fields, problems);
    Some(AgentEvent { becomes: becomes?, area, agents, labels })
}

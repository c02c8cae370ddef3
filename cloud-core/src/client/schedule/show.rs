//! Schedules and their firings for people.

use std::fmt::Write as _;

use shared::api::{
    FiringDocument, FiringStatus, HookDocument, PreviewDocument, ScheduleDocument, ScheduleFired,
    ScheduleKind, ScheduleSummary,
};
use shared::schedule::{EventTrigger, Firing, Note, Trigger};
use shared_runtime::table::{Table, terminal_width};

use crate::client::agent::lines;
use crate::client::output::{Colour, coloured, duration, tame};

/// A list of schedules.
pub fn list(schedules: &[ScheduleSummary]) -> String {
    if schedules.is_empty() {
        return "no schedules\n".to_owned();
    }
    let names = ["SCHEDULE", "KIND", "WHEN", "NEXT", "VERSION"];
    let rows = std::iter::once(names.map(str::to_owned)).chain(schedules.iter().map(|schedule| {
        [
            schedule.name.to_string(),
            kind(schedule.kind).to_owned(),
            when(&schedule.trigger),
            next(schedule),
            schedule.version.to_string(),
        ]
    }));
    let paint = |column, cell: &str, shown: String| match column {
        3 if cell == "paused" => coloured(Some(Colour::Yellow), shown),
        _ => shown,
    };
    Table { give_way: &[2, 0], rows: rows.collect(), paint: Some(paint) }.show(terminal_width())
}

fn kind(kind: ScheduleKind) -> &'static str {
    match kind {
        ScheduleKind::Core => "core",
        ScheduleKind::Resident => "resident",
    }
}

fn next(schedule: &ScheduleSummary) -> String {
    match schedule.next {
        _ if schedule.paused => "paused".to_owned(),
        Some(next) => next.to_string(),
        None => "-".to_owned(),
    }
}

/// A trigger in few words.
fn when(trigger: &Trigger) -> String {
    tame(&match trigger {
        Trigger::Cron(cron) => {
            format!("{} ({})", cron.cron, cron.zone.as_deref().unwrap_or("UTC"))
        }
        Trigger::Interval(interval) if interval.after_end => {
            format!("{} after each end", duration(interval.interval_s))
        }
        Trigger::Interval(interval) => format!("every {}", duration(interval.interval_s)),
        Trigger::At { at } if at.len() == 1 => "once".to_owned(),
        Trigger::At { at } => format!("{} moments", at.len()),
        Trigger::Event { event } => match event {
            EventTrigger::Webhook { .. } => "its hook is called".to_owned(),
            EventTrigger::Mqtt(mqtt) => format!("messages on {}", mqtt.topic),
            EventTrigger::Outcome(outcome) => match (&outcome.task, &outcome.schedule) {
                (Some(task), _) => format!("outcome of task {task}"),
                (_, Some(schedule)) => format!("outcome of a task of {schedule}"),
                _ => "outcome".to_owned(),
            },
            EventTrigger::Agent(_) => "an agent changes".to_owned(),
        },
    })
}

/// One schedule, a fact a line, then its moments.
pub fn whole(
    schedule: &ScheduleDocument,
    coming: &PreviewDocument,
    past: &[FiringDocument],
) -> String {
    let summary = &schedule.summary;
    let tasks: Vec<String> = schedule.under_way.iter().map(ToString::to_string).collect();
    let mut text = lines(vec![
        ("schedule", summary.name.to_string()),
        ("fired by", kind(summary.kind).to_owned()),
        ("when", when(&summary.trigger)),
        ("paused", if summary.paused { "yes".to_owned() } else { String::new() }),
        ("version", summary.version.to_string()),
        ("made", summary.created_at.to_string()),
        ("changed", summary.updated_at.to_string()),
        ("under way", tasks.join(", ")),
    ]);
    if !coming.firings.is_empty() {
        text.push_str("\nnext\n");
        coming.firings.iter().for_each(|firing| moment(firing, "  ", &mut text));
    }
    if !past.is_empty() {
        text.push('\n');
        text.push_str(&firings(past));
    }
    text
}

/// When a trigger fires.
pub fn preview(preview: &PreviewDocument) -> String {
    if preview.firings.is_empty() {
        return "no more firings\n".to_owned();
    }
    let mut text = String::new();
    preview.firings.iter().for_each(|firing| moment(firing, "", &mut text));
    text
}

fn moment(firing: &Firing, indent: &str, text: &mut String) {
    let note = match firing.note {
        None => "",
        Some(Note::Moved) => "  moved: its time does not exist that day",
        Some(Note::FirstOfTwo) => "  the first of two: its time comes twice that day",
        Some(Note::SecondOfTwo) => "  the second of two: its time comes twice that day",
    };
    let (at, local) = (firing.at, tame(&firing.local));
    let _ = writeln!(text, "{indent}{at}  {local}{note}");
}

/// What became of moments.
pub fn firings(firings: &[FiringDocument]) -> String {
    if firings.is_empty() {
        return "no firings\n".to_owned();
    }
    let names = ["MOMENT", "CAME TO", "AGENT", "DETAIL"];
    let rows = std::iter::once(names.map(str::to_owned)).chain(firings.iter().map(|firing| {
        let (status, _) = outcome(firing.status);
        [
            firing.at.to_string(),
            status.to_owned(),
            firing.agent.as_ref().map_or(String::new(), ToString::to_string),
            detail(firing),
        ]
    }));
    let paint = |column, cell: &str, shown: String| match (column, cell) {
        (1, "task") => coloured(Some(Colour::Green), shown),
        (1, "waits" | "skipped" | "missed") => coloured(Some(Colour::Yellow), shown),
        _ => shown,
    };
    Table { give_way: &[3, 2], rows: rows.collect(), paint: Some(paint) }.show(terminal_width())
}

fn outcome(status: FiringStatus) -> (&'static str, &'static str) {
    match status {
        FiringStatus::Fired => ("task", ""),
        FiringStatus::Queued => ("waits", "until the task of an earlier one is over"),
        FiringStatus::Skipped => ("skipped", ""),
        FiringStatus::Missed => ("missed", ""),
    }
}

/// Why, or which task.
fn detail(firing: &FiringDocument) -> String {
    match (firing.task, &firing.detail, firing.upto) {
        (Some(task), _, _) => task.to_string(),
        (_, Some(detail), _) => tame(detail),
        (_, _, Some(upto)) => match firing.count.unwrap_or(1) {
            0 | 1 => "nobody could fire it in time".to_owned(),
            count => format!("at least {count}, up to {upto}: nobody could fire them in time"),
        },
        _ => outcome(firing.status).1.to_owned(),
    }
}

/// A schedule was fired by hand.
pub fn fired(fired: &ScheduleFired) -> String {
    match fired.task {
        Some(task) => format!("{task}\n"),
        None => format!(
            "no task: an earlier one is not over, and the overlap rule decides ({})\n",
            fired.at
        ),
    }
}

/// How a hook is called.
pub fn hook(core: &str, hook: &HookDocument) -> String {
    let url = format!("{}{}", core.trim_end_matches('/'), hook.url);
    lines(vec![("url", url), ("secret", hook.secret.clone())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn firings_say_why_in_words() {
        let at = "2026-03-08T07:00:00.000Z";
        let firing = |fields: serde_json::Value| {
            let mut document = json!({"at": at, "version": 1, "recorded_at": at});
            for (name, value) in fields.as_object().expect("fields") {
                document[name] = value.clone();
            }
            serde_json::from_value::<FiringDocument>(document).expect("a firing")
        };
        let text = firings(&[
            firing(
                json!({"status": "skipped", "reason": "overlap", "detail": "task 1 is not over"}),
            ),
            firing(json!({"status": "missed", "upto": "2026-03-09T07:00:00Z", "count": 3})),
            firing(json!({"status": "queued"})),
        ]);
        for words in
            ["task 1 is not over", "at least 3, up to 2026-03-09T07:00:00.000Z", "until the task"]
        {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_time_change_is_told_in_words() {
        let firing = json!({"firings": [{"at": "2026-03-08T07:00:00Z",
            "local": "2026-03-08T03:00:00-04:00", "note": "moved"}]});
        let text = preview(&serde_json::from_value(firing).expect("a preview"));
        let line = "2026-03-08T07:00:00.000Z  2026-03-08T03:00:00-04:00  moved: its time does not \
                    exist that day\n";
        assert_eq!(text, line);
    }
}

//! Schedules that the agent holds: they fire by its own clock, each moment once.

use edge_agent_logic::input::Found;
use edge_agent_logic::{Change, Input, Notice, Outcome, Settings, invariant};
use shared::id::{AssignmentId, Attempt, Revision, ScheduleId, TaskId};
use shared::report::{End, NotFiredBecause, ReportEvent, StopReason};
use shared::schedule::{CronTrigger, IntervalTrigger, MissedRule, Overlap, Trigger, Zone};
use shared::time::{Monotonic, Timestamp};
use shared::wire::downlink::ResidentSchedule;
use shared::wire::uplink::Load;
use uuid::Uuid;

use super::bench::{BUILT_AT, Bench, INCARNATION, events, exec, exited, noop, notices, now};

const NIGHTLY: ScheduleId = ScheduleId(Uuid::from_u128(0x51));
const MINUTE: u64 = 60_000;

fn interval(interval_s: u64, after_end: bool) -> Trigger {
    Trigger::Interval(IntervalTrigger { interval_s, anchor: None, after_end })
}

/// Every minute from when the bench's clock begins.
fn hold(trigger: Trigger) -> ResidentSchedule {
    ResidentSchedule {
        name: "nightly".parse().expect("a name"),
        version: 1,
        tag: 0,
        created_at: now(0, 0).wall,
        from: now(0, 0).wall,
        trigger,
        zone: None,
        starts_at: None,
        ends_at: None,
        exclude_days: Vec::new(),
        offset_ms: 0,
        missed: MissedRule::Once,
        missed_max: 3,
        catch_up_s: 86_400,
        overlap: Overlap::Allow,
        queue_max: 2,
        order: noop().into(),
    }
}

pub fn minutely() -> ResidentSchedule {
    hold(interval(60, false))
}

fn cut_off() -> Bench {
    let mut bench = Bench::met();
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    bench
}

fn holding(hold: ResidentSchedule) -> Bench {
    let mut bench = Bench::met();
    bench.schedule(NIGHTLY, Some(hold));
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    bench
}

fn at(minute: u64) -> Timestamp {
    now(minute * MINUTE, 0).wall
}

fn minutes(moment: Timestamp) -> i64 {
    (moment.0 - at(0).0) / 60_000
}

/// What came of moments: `+` those that fired and `-` those that did not, by minutes.
fn told(outcome: &Outcome) -> Vec<String> {
    let word = |event: &&ReportEvent| match event {
        ReportEvent::Fired { moment, version, .. } => {
            Some(format!("+{} v{version}", minutes(*moment)))
        }
        ReportEvent::NotFired { moment, upto, count, because, .. } => {
            Some(format!("-{}..{} {count} {because:?}", minutes(*moment), minutes(*upto)))
        }
        _ => None,
    };
    events(outcome).iter().filter_map(word).collect()
}

fn firing(minute: u64) -> AssignmentId {
    let task = TaskId::of_firing(NIGHTLY, at(minute), INCARNATION);
    AssignmentId { task, attempt: Attempt(1) }
}

/// Ticks as often as the agent asks for, until a minute.
fn until(bench: &mut Bench, minute: u64) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let wakeup = bench.agent.next_wakeup().map_or(u64::MAX, |at| at.0);
        let next = wakeup.clamp(bench.mono_ms + 1, minute * MINUTE);
        all.extend(told(&bench.tick_at(next)));
        if next == minute * MINUTE {
            return all;
        }
    }
}

#[test]
fn it_fires_while_nobody_is_there_and_says_so_in_the_same_transaction() {
    let mut bench = holding(minutely());
    assert!(bench.agent.next_wakeup() <= Some(Monotonic(5_000)), "a clock may be set forward");
    assert!(told(&bench.tick_at(MINUTE - 1)).is_empty());
    let outcome = bench.tick_at(MINUTE);
    let [ReportEvent::Fired { version: 1, .. }, ReportEvent::Finished(_)] = events(&outcome)[..]
    else {
        panic!("{outcome:?}");
    };
    let added = outcome.changes.iter().find_map(|change| match change {
        Change::AttemptAdded(row) => Some(row),
        _ => None,
    });
    let row = added.expect("an attempt");
    let context = row.order.firing.as_ref().expect("a firing");
    assert_eq!((row.id, row.schedule), (firing(1), Some(NIGHTLY)));
    assert_eq!((context.schedule.as_str(), context.at), ("nightly", at(1)));
    assert!(outcome.changes.iter().any(|change| matches!(
        change, Change::ScheduleMoved { standing, .. } if standing.through == at(1)
    )));
    assert_eq!(until(&mut bench, 3), ["+2 v1", "+3 v1"]);
}

#[test]
fn nothing_is_written_unless_something_fires() {
    let mut bench = holding(minutely());
    bench.tick_at(1_000);
    for second in 2..59 {
        assert_eq!(bench.tick_at(second * 1_000).changes, [], "at {second} s");
    }
    let mut none = cut_off();
    none.tick_at(1_000);
    assert_eq!(none.agent.next_wakeup(), None, "without schedules nothing wakes it");
}

#[test]
fn whenever_it_crashes_each_moment_fires_once() {
    // The step is lost, or on disk: there is no third way.
    let mut bench = holding(ResidentSchedule { order: exec().into(), ..minutely() });
    bench.mono_ms = MINUTE;
    let lost = bench.agent.step(Input::Tick, bench.now());
    assert_eq!(told(&lost), ["+1 v1"]);
    bench.restart();
    assert_eq!(told(&bench.tick_at(MINUTE + 10)), ["+1 v1"]);
    bench.restart();
    for id in bench.agent.unresolved() {
        bench.step(Input::Found { assignment: id, found: Found::NeverStarted });
    }
    assert!(told(&bench.tick_at(MINUTE + 20)).is_empty());
    assert!(bench.agent.remembers(firing(1)));
}

#[test]
fn what_passed_while_it_was_down_is_decided_by_the_rule() {
    for (missed, expected) in [
        (MissedRule::Skip, vec!["-1..5 5 Missed", "+6 v1"]),
        (MissedRule::Once, vec!["-1..4 4 Missed", "+5 v1", "+6 v1"]),
        (MissedRule::All, vec!["-1..2 2 Missed", "+3 v1", "+4 v1", "+5 v1", "+6 v1"]),
    ] {
        let mut bench = holding(ResidentSchedule { missed, ..minutely() });
        bench.mono_ms = 6 * MINUTE;
        bench.restart();
        assert_eq!(told(&bench.step(Input::Tick)), expected);
        bench.restart();
        assert!(told(&bench.step(Input::Tick)).is_empty(), "once is enough");
    }
}

fn overlapping(overlap: Overlap) -> Bench {
    let mut bench = holding(ResidentSchedule { overlap, order: exec().into(), ..minutely() });
    assert_eq!(until(&mut bench, 1), ["+1 v1"]);
    bench.started(firing(1));
    bench
}

#[test]
fn what_is_not_over_is_in_the_way_as_the_rule_says() {
    let mut forbid = overlapping(Overlap::Forbid);
    assert_eq!(until(&mut forbid, 2), ["-2..2 1 Overlap"]);
    forbid.ended(firing(1), exited(0));
    assert_eq!(until(&mut forbid, 3), ["+3 v1"]);

    let mut queue = overlapping(Overlap::Queue);
    assert_eq!(until(&mut queue, 4), ["-4..4 1 QueueFull"]);
    // What waits survives a restart, and so does what is in its way.
    queue.restart();
    let found = Found::Running { started_at: at(1), ran_ms: 3 * MINUTE };
    queue.step(Input::Found { assignment: firing(1), found });
    assert_eq!(told(&queue.ended(firing(1), exited(0))), ["+2 v1"]);
    assert_eq!(told(&queue.ended(firing(2), exited(0))), ["+3 v1"]);

    let mut replace = overlapping(Overlap::Replace);
    assert!(until(&mut replace, 2).is_empty());
    assert_eq!(until(&mut replace, 3), ["-2..2 1 Replaced"]);
    let outcome = replace.ended(firing(1), exited(0));
    let stopped = End::Stopped { reason: StopReason::Canceled };
    assert!(events(&outcome).iter().any(|event| matches!(
        event, ReportEvent::Finished(finish) if finish.end == stopped
    )));
    assert_eq!(told(&outcome), ["+3 v1"]);

    let mut allow = overlapping(Overlap::Allow);
    assert_eq!(until(&mut allow, 2), ["+2 v1"]);
    assert_eq!(allow.agent.live().count(), 2);
}

#[test]
fn a_queue_of_what_is_over_at_once_is_emptied_in_one_step() {
    let mut bench = overlapping(Overlap::Queue);
    until(&mut bench, 3);
    bench.meet();
    let nothing = ResidentSchedule { overlap: Overlap::Queue, version: 2, ..minutely() };
    bench.schedule(NIGHTLY, Some(nothing));
    assert_eq!(told(&bench.ended(firing(1), exited(0))), ["+2 v2", "+3 v2"]);
}

#[test]
fn an_edit_goes_on_where_the_version_before_stopped() {
    let mut bench = holding(minutely());
    assert_eq!(until(&mut bench, 1), ["+1 v1"]);
    // The edit was made while the agent was away: the moments of that time are the old version's.
    assert_eq!(until(&mut bench, 2), ["+2 v1"]);
    bench.step(Input::LinkUp { link: 2 });
    bench.welcome(0);
    let edited = ResidentSchedule { version: 2, from: at(0), ..hold(interval(120, false)) };
    assert!(told(&bench.schedule(NIGHTLY, Some(edited.clone()))).is_empty());
    assert!(until(&mut bench, 3).is_empty());
    assert_eq!(until(&mut bench, 4), ["+4 v2"]);
    // The same again, as a core says that was put back to a backup, changes nothing.
    let again = bench.schedule(NIGHTLY, Some(edited));
    assert!(!again.changes.iter().any(|change| matches!(change, Change::ScheduleHeld(_))));
    assert!(until(&mut bench, 5).is_empty());
}

#[test]
fn a_change_makes_up_for_no_moment_that_was_none_of_its_own() {
    let every_day = ResidentSchedule { missed: MissedRule::All, ..hold(interval(86_400, false)) };
    let mut bench = holding(every_day.clone());
    assert!(until(&mut bench, 10).is_empty());
    bench.step(Input::LinkUp { link: 2 });
    bench.welcome(0);
    let edited = ResidentSchedule { version: 2, trigger: interval(60, false), ..every_day };
    bench.schedule(NIGHTLY, Some(edited.clone()));
    assert_eq!(until(&mut bench, 12), ["+11 v2", "+12 v2"]);
    // What has come and was not looked at is of the version before.
    bench.step(Input::LinkUp { link: 3 });
    bench.welcome(0);
    bench.mono_ms = 13 * MINUTE;
    let again = ResidentSchedule { version: 3, ..edited };
    assert_eq!(told(&bench.schedule(NIGHTLY, Some(again))), ["+13 v2"]);
    assert_eq!(until(&mut bench, 14), ["+14 v3"]);
}

#[test]
fn a_change_of_one_that_runs_makes_up_for_nothing_and_fires_nothing_from_before_it_was_given() {
    // What counts from the end of a run that goes on is not due, however long that takes.
    let order = exec().into();
    let mut bench = holding(ResidentSchedule { order, ..hold(interval(60, true)) });
    until(&mut bench, 10);
    bench.meet();
    let edited = ResidentSchedule { version: 2, missed: MissedRule::All, ..minutely() };
    bench.mono_ms = 10 * MINUTE + 30_000;
    assert!(told(&bench.schedule(NIGHTLY, Some(edited.clone()))).is_empty());
    assert_eq!(until(&mut bench, 12), ["+11 v2", "+12 v2"]);
    // On a board whose clock is behind that of the core, it begins where the core says.
    let later = ResidentSchedule { from: at(5), ..hold(interval(600, true)) };
    let mut bench = holding(later);
    bench.meet();
    let edited = ResidentSchedule { from: at(5), ..edited };
    bench.schedule(NIGHTLY, Some(edited.clone()));
    assert_eq!(until(&mut bench, 6), ["+6 v2"]);
    // Nor if it is due and could not be told of.
    let mut bench = Bench::new(Settings { outbox_max: 6, ..Settings::default() });
    bench.meet();
    bench.schedule(NIGHTLY, Some(hold(interval(60, true))));
    until(&mut bench, 10);
    bench.meet();
    bench.schedule(NIGHTLY, Some(ResidentSchedule { from: at(0), ..edited }));
    bench.welcome(bench.agent.outbox().last.0);
    assert_eq!(until(&mut bench, 12), ["+11 v2", "+12 v2"]);
}

#[test]
fn one_that_is_withdrawn_and_given_again_does_not_have_its_moments_again() {
    let mut bench = holding(minutely());
    until(&mut bench, 2);
    bench.meet();
    bench.schedule(NIGHTLY, None);
    assert_eq!(bench.agent.schedules().count(), 0);
    bench.schedule(NIGHTLY, Some(minutely()));
    assert_eq!(until(&mut bench, 3), ["+3 v1"]);
}

#[test]
fn what_is_withdrawn_fires_no_more_and_what_it_fired_goes_on() {
    let mut bench = overlapping(Overlap::Queue);
    assert!(until(&mut bench, 2).is_empty());
    bench.meet();
    assert_eq!(told(&bench.schedule(NIGHTLY, None)), ["-2..2 1 Withdrawn"]);
    assert!(bench.agent.remembers(firing(1)));
    bench.ended(firing(1), exited(0));
    assert!(until(&mut bench, 5).is_empty());
}

/// The board comes back in 1970.
fn without_the_date(bench: &mut Bench) {
    bench.wall_ahead_ms = -BUILT_AT.0;
    bench.restart();
}

#[test]
fn without_the_date_intervals_go_on_and_the_rest_waits() {
    let mut bench = holding(minutely());
    assert_eq!(until(&mut bench, 1), ["+1 v1"]);
    // Half a minute is lost with the process; the board's clock goes on.
    bench.mono_ms += MINUTE / 2;
    without_the_date(&mut bench);
    bench.step(Input::Tick);
    assert_eq!(until(&mut bench, 3), ["+2 v1", "+3 v1"]);
    // The core says what time it is: the timetable goes on, and nothing fires a second time.
    bench.step(Input::LinkUp { link: 1 });
    bench.wall_ahead_ms = 0;
    assert!(told(&bench.welcome(0)).is_empty());
    assert_eq!(until(&mut bench, 4), ["+4 v1"]);

    let cron = CronTrigger { cron: "* * * * *".to_owned(), fields: None, zone: None, dst: None };
    let mut bench = holding(hold(Trigger::Cron(cron)));
    without_the_date(&mut bench);
    assert!(until(&mut bench, 5).is_empty());
    bench.wall_ahead_ms = 0;
    let outcome = bench.tick_at(5 * MINUTE + 1);
    let told = told(&outcome);
    assert!(told[0].contains("Missed") && told.len() >= 2, "{told:?}");
}

#[test]
fn a_clock_that_ran_years_ahead_does_not_silence_a_schedule_for_years() {
    let year_ms = 365 * 24 * 3_600_000_i64;
    let mut bench = Bench::met();
    bench.schedule(NIGHTLY, Some(minutely()));
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    bench.wall_ahead_ms = 2 * year_ms;
    bench.restart();
    assert!(!told(&bench.tick_at(1_000)).is_empty(), "nothing tells that it is wrong");
    bench.wall_ahead_ms = 0;
    bench.step(Input::LinkUp { link: 1 });
    bench.welcome(0);
    assert_eq!(until(&mut bench, 2), ["+1 v1", "+2 v1"]);
}

#[test]
fn a_clock_that_goes_back_fires_nothing_twice_and_one_set_forward_is_noticed() {
    let mut bench = holding(minutely());
    assert_eq!(until(&mut bench, 2), ["+1 v1", "+2 v1"]);
    bench.wall_ahead_ms = -50_000;
    assert!(told(&bench.tick_at(2 * MINUTE + 40_000)).is_empty());
    bench.wall_ahead_ms = 0;
    bench.tick_at(2 * MINUTE + 41_000);
    bench.wall_ahead_ms = 17_000;
    let wakeup = bench.agent.next_wakeup().expect("one").0;
    assert_eq!(told(&bench.tick_at(wakeup)), ["+3 v1"]);
}

#[test]
fn the_zone_that_is_sent_decides_about_the_change_of_the_clocks() {
    // 2023-11-14T22:30Z is when this world begins; clocks go ahead an hour at 23:00Z.
    let start_s = at(0).0 / 1_000;
    let hour_s = start_s - start_s % 3_600 + 3_600;
    let table =
        serde_json::json!({ "name": "Test/Gap", "ahead_s": 0, "changes": [[hour_s, 3_600]] });
    let zone: Zone = serde_json::from_value(table).expect("a zone");
    let hour = (hour_s / 3_600) % 24;
    let cron = CronTrigger {
        cron: format!("30 {hour} * * *"),
        fields: None,
        zone: Some("Test/Gap".to_owned()),
        dst: None,
    };
    let wanted = ResidentSchedule { zone: Some(zone), ..hold(Trigger::Cron(cron.clone())) };
    let mut bench = holding(wanted);
    // Half past that hour does not exist that day: it fires right after the gap.
    let gap = u64::try_from(hour_s * 1_000 - at(0).0).expect("later");
    bench.tick_at(gap - 1);
    let outcome = bench.tick_at(gap);
    let moment = events(&outcome).iter().find_map(|event| match event {
        ReportEvent::Fired { moment, .. } => Some(*moment),
        _ => None,
    });
    assert_eq!(moment, Some(Timestamp(hour_s * 1_000)));
    assert!(told(&bench.tick_at(gap + 30 * MINUTE)).is_empty());

    // One whose clocks are not sent cannot be held, nor one that only a core can fire.
    let mut bench = Bench::met();
    let outcome = bench.schedule(NIGHTLY, Some(hold(Trigger::Cron(cron))));
    assert!(matches!(notices(&outcome)[..], [Notice::ScheduleNotHeld { .. }]), "{outcome:?}");
    assert_eq!(bench.agent.schedules().count(), 0);
    assert_eq!(bench.agent.applied_rev(), Revision(1));
}

#[test]
fn it_counts_from_the_end_of_its_last_run() {
    let wanted = ResidentSchedule {
        order: exec().into(),
        overlap: Overlap::Forbid,
        ..hold(interval(60, true))
    };
    let mut bench = Bench::met();
    assert_eq!(told(&bench.schedule(NIGHTLY, Some(wanted))), ["+0 v1"], "the first at once");
    bench.started(firing(0));
    assert!(until(&mut bench, 5).is_empty(), "it is not over");
    bench.ended(firing(0), exited(0));
    bench.restart();
    assert_eq!(until(&mut bench, 6), ["+6 v1"]);
    // Without the date, by the board's own clock.
    bench.ended(firing(6), exited(0));
    without_the_date(&mut bench);
    let told = until(&mut bench, 7);
    assert_eq!(told, ["+7 v1"]);
}

#[test]
fn without_room_it_does_not_fire_and_says_so_or_waits_for_room_to_say_so() {
    let mut bench = holding(minutely());
    bench.step(Input::Measured { load: Load::default(), disk_full: true });
    assert_eq!(until(&mut bench, 1), [format!("-1..1 1 {:?}", NotFiredBecause::NoRoom)]);
    bench.step(Input::Measured { load: Load::default(), disk_full: false });

    let settings = Settings { outbox_max: 6, ..Settings::default() };
    let mut bench = Bench::new(settings);
    bench.meet();
    bench.schedule(NIGHTLY, Some(minutely()));
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    assert_eq!(until(&mut bench, 5), ["+1 v1", "+2 v1"]);
    invariant::check(&bench.agent).expect("invariants");
    bench.step(Input::LinkUp { link: 2 });
    bench.welcome(4);
    assert_eq!(until(&mut bench, 6), ["-3..3 1 Missed", "+4 v1", "+5 v1"]);
}

#[test]
fn no_more_are_held_than_may_be() {
    let mut bench = Bench::met();
    for schedule in 1..=3 {
        bench.schedule(ScheduleId(Uuid::from_u128(schedule)), Some(minutely()));
    }
    let outcome = bench.schedule(NIGHTLY, Some(minutely()));
    assert!(matches!(notices(&outcome)[..], [Notice::ScheduleNotHeld { .. }]));
    assert_eq!(bench.agent.schedules().count(), 3);
    // One of those that are held may change.
    let changed = ResidentSchedule { version: 2, ..minutely() };
    bench.schedule(ScheduleId(Uuid::from_u128(2)), Some(changed));
    assert!(bench.agent.schedules().any(|(_, version, _)| version == 2));
}

#[test]
fn its_offset_makes_it_later_and_changes_no_moment() {
    let mut bench = holding(ResidentSchedule { offset_ms: 7_000, ..minutely() });
    assert!(told(&bench.tick_at(MINUTE + 6_999)).is_empty());
    assert_eq!(told(&bench.tick_at(MINUTE + 7_000)), ["+1 v1"]);
}

#[test]
fn given_again_it_goes_on_behind_what_it_fired_whatever_time_it_is_given_from() {
    let mut bench = Bench::met();
    bench.schedule(NIGHTLY, Some(minutely()));
    assert_eq!(until(&mut bench, 3), ["+1 v1", "+2 v1", "+3 v1"]);
    bench.meet();
    bench.schedule(NIGHTLY, None);
    bench.restart();
    bench.meet();
    // From a time before that, by a core whose clock is behind or that has not heard of it.
    let again = ResidentSchedule { version: 2, ..minutely() };
    assert!(told(&bench.schedule(NIGHTLY, Some(again))).is_empty());
    assert_eq!(until(&mut bench, 4), ["+4 v2"]);
    bench.meet();
    bench.schedule(NIGHTLY, None);
    let from_its_end = ResidentSchedule { version: 3, ..hold(interval(60, true)) };
    assert!(told(&bench.schedule(NIGHTLY, Some(from_its_end))).is_empty());
    let outcome = bench.tick_at(4 * MINUTE + 1);
    let events = events(&outcome);
    let Some(ReportEvent::Fired { moment, .. }) = events.first() else { panic!("{events:?}") };
    assert_eq!(*moment, at(4).plus_ms(1), "the first at once, and not for a moment that it had");
}

//! What the agent tells beside its reports: how far its attempts have come, and how its clocks
//! stand.

use edge_agent_logic::clock::{Doubt, Trust};
use edge_agent_logic::progress::{ITEMS_MAX, TEXT_BYTES_MAX};
use edge_agent_logic::{Change, Input, Notice, Outcome, Settings};
use shared::report::ProgressMark;
use shared::time::{Stamp, Timestamp};
use shared::wire::downlink::Welcome;
use shared::wire::uplink::{AttemptProgress, ProgressNews};
use shared::wire::{Downlink, Uplink, encode};

use super::bench::{BUILT_AT, Bench, exec, exited, id, notices, now, reports, sent};

const YEAR_MS: i64 = 365 * 24 * 3_600 * 1_000;

fn news(outcome: &Outcome) -> Vec<&AttemptProgress> {
    let items = |message: &&'_ Uplink| matches!(message, Uplink::Progress(_));
    let all = sent(outcome).into_iter().filter(items).flat_map(|message| match message {
        Uplink::Progress(ProgressNews { items, .. }) => items.iter(),
        _ => [].iter(),
    });
    all.collect()
}

fn says(bench: &mut Bench, task: u128, thousandths: u16) -> Outcome {
    let mark = ProgressMark { thousandths: Some(thousandths), text: "so far".to_owned() };
    bench.step(Input::Progress { assignment: id(task, 1), mark })
}

fn told(outcome: &Outcome) -> Vec<u16> {
    news(outcome).iter().filter_map(|item| item.mark.thousandths).collect()
}

fn running(tasks: u128) -> Bench {
    let mut bench = Bench::met();
    for task in 1..=tasks {
        bench.run(id(task, 1), exec());
        bench.started(id(task, 1));
    }
    bench
}

#[test]
fn only_the_newest_progress_is_told_and_not_too_often() {
    let mut bench = running(2);
    assert_eq!(told(&says(&mut bench, 1, 10)), [10]);
    // One message in a second, and each attempt every five.
    assert!(told(&says(&mut bench, 2, 500)).is_empty());
    assert!(told(&bench.tick_at(999)).is_empty());
    assert_eq!(told(&bench.tick_at(1_000)), [500]);
    for thousandths in [20, 30, 40] {
        assert!(told(&says(&mut bench, 1, thousandths)).is_empty());
    }
    assert!(told(&bench.tick_at(4_999)).is_empty());
    assert!(bench.agent.next_wakeup() <= Some(shared::time::Monotonic(5_000)));
    assert_eq!(told(&bench.tick_at(5_000)), [40]);
    // What says nothing new is not told.
    says(&mut bench, 1, 40);
    assert!(told(&bench.tick_at(60_000)).is_empty());
}

#[test]
fn after_a_welcome_all_that_is_known_is_told_once() {
    let mut bench = running(2);
    says(&mut bench, 1, 10);
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    says(&mut bench, 2, 20);
    assert!(told(&bench.tick_at(10_000)).is_empty(), "there is nobody to hear it");
    bench.step(Input::LinkUp { link: 2 });
    assert_eq!(told(&bench.welcome(0)), [10, 20]);
    assert!(told(&bench.tick_at(100_000)).is_empty());
}

#[test]
fn progress_is_written_down_with_something_else_or_seldom_and_goes_with_its_run() {
    let mut bench = running(1);
    let put = |outcome: &Outcome| {
        outcome.changes.iter().any(|change| matches!(change, Change::ProgressPut { .. }))
    };
    assert!(!put(&says(&mut bench, 1, 10)));
    bench.mono_ms = 12_000;
    assert!(!put(&says(&mut bench, 1, 20)), "not by itself");
    assert!(put(&bench.run(id(2, 1), exec())), "with something else");
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    says(&mut bench, 1, 30);
    assert!(!put(&bench.tick_at(3_611_999)));
    assert!(put(&bench.tick_at(3_612_000)), "after a while");
    // It is there after a restart, and told again.
    bench.restart();
    for task in 1..=2 {
        let found = edge_agent_logic::input::Found::Running { started_at: Timestamp(1), ran_ms: 1 };
        bench.step(Input::Found { assignment: id(task, 1), found });
    }
    bench.step(Input::LinkUp { link: 1 });
    assert_eq!(told(&bench.welcome(0)), [30]);
    bench.ended(id(1, 1), exited(0));
    says(&mut bench, 1, 40);
    bench.step(Input::LinkUp { link: 2 });
    assert!(told(&bench.welcome(0)).is_empty());
}

#[test]
fn a_mark_is_bounded_whatever_was_written_and_a_full_message_fits() {
    let mut bench = running(1);
    let text = format!("\u{7}a\n{}", "ü\"".repeat(TEXT_BYTES_MAX));
    let mark = ProgressMark { thousandths: Some(9_999), text };
    let outcome = bench.step(Input::Progress { assignment: id(1, 1), mark });
    let item = news(&outcome)[0];
    assert_eq!(item.mark.thousandths, Some(1_000));
    assert!(item.mark.text.len() <= TEXT_BYTES_MAX && item.mark.text.starts_with("aü"));
    assert_eq!((item.at, item.stamp.board), (now(0, 0).wall, 9));
    let mut worst = item.clone();
    worst.mark.text = "\"".repeat(TEXT_BYTES_MAX);
    let items = vec![worst; ITEMS_MAX];
    encode(&Uplink::Progress(ProgressNews {
        incarnation: super::bench::INCARNATION,
        session: shared::id::Session(u32::MAX),
        items,
    }))
    .expect("fits");
}

fn doubt(outcome: &Outcome) -> Option<Doubt> {
    notices(outcome).into_iter().find_map(|notice| match notice {
        Notice::ClockDistrusted { why } => Some(*why),
        _ => None,
    })
}

fn trusted(bench: &Bench) -> bool {
    bench.agent.clock().trust() == Trust::Trusted
}

#[test]
fn everything_that_is_told_carries_the_other_clocks() {
    let mut bench = Bench::new(Settings::default());
    let outcome = bench.step(Input::LinkUp { link: 1 });
    let stamp = |mono_ms| Stamp { board: 9, mono_ms, trusted: true };
    assert!(matches!(sent(&outcome)[0], Uplink::Hello(hello) if hello.stamp == stamp(0)));
    bench.welcome(0);
    bench.mono_ms = 70;
    assert_eq!(reports(&bench.run(id(1, 1), exec()))[0].stamp, stamp(70));
    let outcome = bench.tick_at(5_000);
    assert!(matches!(sent(&outcome)[0], Uplink::Heartbeat(beat) if beat.stamp == stamp(5_000)));
}

#[test]
fn a_clock_in_1970_is_not_believed_until_it_is_set() {
    let mut bench = Bench::new(Settings::default());
    bench.wall_ahead_ms = -BUILT_AT.0;
    bench.restart();
    assert!(!trusted(&bench));
    let outcome = bench.step(Input::Tick);
    assert_eq!(
        doubt(&outcome),
        Some(Doubt::BehindFloor { floor: now(0, 0).wall.plus_ms(-1_000_000) })
    );
    assert!(!bench.agent.clock().stamp(bench.now()).trusted);
    // It is set by somebody, without a core.
    bench.wall_ahead_ms = 0;
    let outcome = bench.tick_at(10_000);
    assert!(notices(&outcome).contains(&&Notice::ClockTrusted));
}

#[test]
fn the_last_time_that_was_believed_is_kept_and_never_goes_back_by_itself() {
    let mut bench = Bench::met();
    bench.tick_at(700_000);
    let floor = bench.store.stored().floor.expect("written down");
    assert_eq!(floor, now(700_000, 0).wall);
    // Not a minute passes after the restart, by a clock that lost an hour.
    bench.wall_ahead_ms = -3_600_000;
    bench.restart();
    assert!(!trusted(&bench));
    bench.tick_at(2_000_000);
    assert_eq!(bench.store.stored().floor, Some(floor), "a doubted clock moves it nowhere");
    bench.tick_at(700_000 + 3_600_000);
    assert!(trusted(&bench), "the clock has passed what was believed");
}

#[test]
fn a_jump_is_doubted_until_the_core_or_the_clock_takes_it_back() {
    for by_ms in [-2 * YEAR_MS, -61_000, 61_000, 2 * YEAR_MS] {
        let mut bench = Bench::new(Settings::default());
        bench.tick_at(1_000);
        bench.wall_ahead_ms = by_ms;
        let outcome = bench.tick_at(2_000);
        assert_eq!(doubt(&outcome), Some(Doubt::Jumped { by_ms }));
        let floor = bench.agent.clock().floor();
        bench.tick_at(10_000);
        assert_eq!(bench.agent.clock().floor(), floor);
        bench.wall_ahead_ms = 0;
        bench.tick_at(11_000);
        assert!(trusted(&bench), "{by_ms}");
    }
    let mut bench = Bench::new(Settings::default());
    bench.tick_at(1_000);
    bench.wall_ahead_ms = 59_000;
    assert_eq!(doubt(&bench.tick_at(2_000)), None, "a small one is not");
    // The core's clock says the same as the one that jumped.
    bench.wall_ahead_ms = 9 * 60_000;
    bench.tick_at(3_000);
    assert!(!trusted(&bench));
    bench.step(Input::LinkUp { link: 1 });
    bench.welcome(0);
    assert!(trusted(&bench));
}

#[test]
fn a_board_that_once_ran_years_ahead_recovers_by_the_cores_word() {
    let mut bench = Bench::met();
    bench.wall_ahead_ms = 2 * YEAR_MS;
    bench.restart();
    bench.tick_at(700_000);
    assert!(trusted(&bench), "there is nothing to tell it by");
    bench.step(Input::LinkUp { link: 1 });
    let outcome = bench.welcome(0);
    assert_eq!(doubt(&outcome), Some(Doubt::CoreDiffers { offset_ms: -2 * YEAR_MS }));
    assert_eq!(bench.agent.clock().offset_ms(bench.now()), Some(-2 * YEAR_MS));
    // The floor is the core's time, on disk at once.
    assert_eq!(bench.store.stored().floor, Some(now(700_000, 0).wall));
    bench.wall_ahead_ms = 0;
    bench.restart();
    assert!(trusted(&bench));
}

#[test]
fn a_core_whose_own_clock_is_impossible_is_not_believed() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let wrong = Welcome { sent_at: Timestamp(5), ..bench.greeting(0) };
    let outcome = bench.hear(Downlink::Welcome(wrong));
    assert!(doubt(&outcome).is_none() && trusted(&bench));
    assert!(bench.agent.clock().floor() >= BUILT_AT);
}

#[test]
fn how_it_stands_with_the_clock_is_on_disk_for_people() {
    let mut bench = Bench::new(Settings::default());
    let moved = |outcome: &Outcome| {
        outcome.changes.iter().find_map(|change| match change {
            Change::ClockMoved { trust, offset_ms } => Some((*trust, *offset_ms)),
            _ => None,
        })
    };
    let outcome = bench.step(Input::LinkUp { link: 1 });
    assert_eq!(moved(&outcome), Some((Trust::Trusted, None)));
    bench.wall_ahead_ms = 30_000;
    assert_eq!(moved(&bench.welcome(0)), Some((Trust::Trusted, Some(-30_000))));
    assert_eq!(moved(&bench.tick_at(10_000)), None, "it does not tremble");
}

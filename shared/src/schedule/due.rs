//! What is to be done about the moments of a schedule that have come: the one rule by which core and
//! agents decide. It works the same however long nobody looked, and never looks at a moment twice.

use super::{MissedRule, Timetable};
use crate::id::{AgentId, ScheduleId};
use crate::time::{Timestamp, mix};

/// A moment that came at most so long ago is on time, in milliseconds: nobody missed it.
pub const ON_TIME_MS: u64 = 10_000;
/// How far missed moments are counted.
pub const COUNT_MAX: u32 = 10_000;

/// What a schedule says of moments that were missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Which are made up for.
    pub missed: MissedRule,
    /// How many of them, at most.
    pub missed_max: u32,
    /// How late one may be, in seconds.
    pub catch_up_s: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// The moments that fire, in order.
    pub fire: Vec<Timestamp>,
    /// Those that came and do not fire, before all that do.
    pub missed: Option<Missed>,
    /// Every moment up to here is dealt with.
    pub through: Timestamp,
    /// The next that will come.
    pub next: Option<Timestamp>,
}

/// Moments that nobody fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many, at least: it is not counted beyond 10,000.
    pub count: u32,
}

/// What is to be done about the moments after `through` that have come by `now`, each `offset_ms`
/// later than the timetable says. Moments are those of the timetable throughout. A clock that went
/// back finds nothing to do.
#[must_use]
pub fn due(
    timetable: &Timetable,
    rules: &Rules,
    offset_ms: u64,
    through: Timestamp,
    now: Timestamp,
) -> Due {
    let back = |at: Timestamp, ms: u64| at.plus_ms(-i64::try_from(ms).unwrap_or(i64::MAX));
    let now = back(now, offset_ms);
    let on_time = back(now, ON_TIME_MS);
    let mut due = Due { through, ..Due::default() };
    let mut after = through;
    if let Some(first) = timetable.next(through).filter(|first| *first < on_time) {
        after = late(timetable, rules, first, on_time, now, &mut due);
    }
    loop {
        let next = timetable.next(after);
        match next.filter(|next| *next <= now) {
            Some(at) => due.fire.push(at),
            None => {
                due.next = next;
                return due;
            }
        }
        after = due.fire.last().copied().unwrap_or(after);
        due.through = after;
    }
}

/// Decides about the moments from `first` on that came before `on_time`; says which was the last.
fn late(
    timetable: &Timetable,
    rules: &Rules,
    first: Timestamp,
    on_time: Timestamp,
    now: Timestamp,
    due: &mut Due,
) -> Timestamp {
    let most = match rules.missed {
        MissedRule::Skip => 0,
        MissedRule::Once => 1,
        MissedRule::All => rules.missed_max as usize,
    };
    let mut latest = latest(timetable, first, on_time, most + 1);
    let last = latest.last().copied().unwrap_or(first);
    due.through = last;
    let catch_up_ms = i64::try_from(rules.catch_up_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let oldest = now.plus_ms(-catch_up_ms);
    let fires = latest.len().min(most);
    let split = latest.len() - fires;
    let split = split + latest[split..].partition_point(|at| *at < oldest);
    due.fire = latest.split_off(split);
    if let Some(last) = latest.last().copied() {
        let mut count = 1;
        let mut at = first;
        while at < last && count < COUNT_MAX {
            let Some(next) = timetable.next(at) else { break };
            (at, count) = (next, count + 1);
        }
        due.missed = Some(Missed { first, last, count });
    }
    last
}

/// The latest moments from `first` on that lie before `end`, at most so many; `first` is one.
fn latest(timetable: &Timetable, first: Timestamp, end: Timestamp, most: usize) -> Vec<Timestamp> {
    let mut found = Vec::new();
    // Moments mostly come as far apart as those before.
    let (mut end, mut step_ms) = (end, ON_TIME_MS as i64);
    while found.len() < most && first < end {
        let at = timetable.latest(first, end, step_ms);
        step_ms = end.0.saturating_sub(at.0);
        found.push(at);
        end = at;
    }
    found.reverse();
    found
}

/// By how much later than its moments a schedule fires, in milliseconds: below `jitter_s`, a time of
/// its own for each schedule, and for each agent if agents fire it. It never changes, so that firings
/// keep their order and their distance.
#[must_use]
pub fn jitter_ms(schedule: ScheduleId, agent: Option<&AgentId>, jitter_s: u64) -> u64 {
    let (front, back) = schedule.0.as_u64_pair();
    let mut word = mix(front, back);
    for part in agent.map_or(&[][..], |agent| agent.as_str().as_bytes()).chunks(8) {
        let mut bytes = [0; 8];
        bytes[..part.len()].copy_from_slice(part);
        word = mix(word, u64::from_le_bytes(bytes) ^ part.len() as u64);
    }
    let range_ms = jitter_s.saturating_mul(1_000);
    // The high half of a product spreads evenly over any range.
    ((u128::from(word) * u128::from(range_ms)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::{IntervalTrigger, OnlyUtc, Trigger, Window};
    use super::*;

    fn every(interval_s: u64) -> Timetable {
        let anchor = Some(Timestamp(0));
        let trigger = Trigger::Interval(IntervalTrigger { interval_s, anchor, after_end: false });
        Timetable::new(&trigger, &Window::default(), Timestamp(0), &OnlyUtc).expect("timetable")
    }

    fn rules(missed: MissedRule) -> Rules {
        Rules { missed, missed_max: 3, catch_up_s: 600 }
    }

    #[test]
    fn what_is_on_time_fires_and_what_was_missed_by_the_rule() {
        let minutes = every(60);
        let at = |minute: i64| Timestamp(minute * 60_000);
        let look = |missed, minute: i64| {
            due(&minutes, &rules(missed), 0, at(0), at(minute).plus_ms(5_000))
        };
        let missed = |first, last, count| Some(Missed { first: at(first), last: at(last), count });
        for rule in [MissedRule::Skip, MissedRule::Once, MissedRule::All] {
            let now = look(rule, 1);
            assert_eq!((now.fire, now.missed, now.through), (vec![at(1)], None, at(1)));
        }
        let skip = look(MissedRule::Skip, 5);
        assert_eq!((skip.fire, skip.missed), (vec![at(5)], missed(1, 4, 4)));
        let once = look(MissedRule::Once, 5);
        assert_eq!((once.fire, once.missed), (vec![at(4), at(5)], missed(1, 3, 3)));
        let all = look(MissedRule::All, 5);
        assert_eq!((all.fire, all.missed), (vec![at(2), at(3), at(4), at(5)], missed(1, 1, 1)));
        assert_eq!(all.next, Some(at(6)));
        // Nothing is made up for that is too late.
        let weekly = every(604_800);
        let rare = due(
            &weekly,
            &rules(MissedRule::Once),
            0,
            Timestamp(0),
            Timestamp(604_800_000 + 700_000),
        );
        assert_eq!((rare.fire.len(), rare.missed.map(|it| it.count)), (0, Some(1)));
        assert_eq!(rare.through, Timestamp(604_800_000));
    }

    #[test]
    fn a_moment_is_on_time_for_ten_seconds_and_not_longer() {
        let minutes = every(60);
        let look = |late_ms: u64| {
            let now = Timestamp(60_000).plus_ms(late_ms as i64);
            due(&minutes, &rules(MissedRule::Skip), 0, Timestamp(0), now).fire
        };
        assert_eq!(look(0), [Timestamp(60_000)]);
        assert_eq!(look(ON_TIME_MS), [Timestamp(60_000)]);
        assert_eq!(look(ON_TIME_MS + 1), []);
    }

    #[test]
    fn years_of_seconds_take_no_time() {
        let year = Timestamp(31_536_000_000);
        let found = due(&every(1), &rules(MissedRule::All), 0, Timestamp(0), year);
        assert_eq!(found.fire.len(), 3 + 11);
        assert_eq!(found.missed.map(|missed| missed.count), Some(COUNT_MAX));
        assert_eq!(found.through, year);
    }

    proptest! {
        /// However often somebody looks, as long as nobody is late, each moment fires once.
        #[test]
        fn looking_often_or_seldom_fires_the_same(
            interval_s in 1_u64..40, offset_ms in 0_u64..5_000, looks in prop::collection::vec(0_u64..9_000, 1..50),
            goes_back in 0_u64..20_000,
        ) {
            let timetable = every(interval_s);
            let (mut now, mut through, mut fired) = (Timestamp(1_000_000), Timestamp(1_000_000), Vec::new());
            let start = through;
            for step_ms in looks {
                now = now.plus_ms(step_ms as i64);
                // A clock that was wrong for a moment.
                let wrong = due(&timetable, &rules(MissedRule::Once), offset_ms, through, now.plus_ms(-(goes_back as i64)));
                fired.extend(wrong.fire);
                through = wrong.through;
                let found = due(&timetable, &rules(MissedRule::Once), offset_ms, through, now);
                prop_assert!(found.through >= through && found.missed.is_none());
                fired.extend(found.fire);
                through = found.through;
            }
            let mut expected = Vec::new();
            let mut after = start;
            while let Some(at) = timetable.next(after).filter(|at| at.plus_ms(offset_ms as i64) <= now) {
                expected.push(at);
                after = at;
            }
            prop_assert_eq!(fired, expected);
        }

        /// Against a look at every moment.
        #[test]
        fn missed_ones_are_those_of_the_rule(
            interval_s in 1_u64..400, absent_s in 0_u64..4_000, catch_up_s in 0_u64..4_000,
            missed_max in 1_u32..20, which in 0..3_usize,
        ) {
            let timetable = every(interval_s);
            let missed = MissedRule::ALL[which].1;
            let rules = Rules { missed, missed_max, catch_up_s };
            let now = Timestamp(1_000 * absent_s as i64);
            let found = due(&timetable, &rules, 0, Timestamp(0), now);
            let all: Vec<i64> = (1..).map(|k| k * 1_000 * interval_s as i64).take_while(|at| *at <= now.0).collect();
            let on_time = |at: &i64| now.0 - at <= ON_TIME_MS as i64;
            let late: Vec<i64> = all.iter().copied().filter(|at| !on_time(at)).collect();
            let most = match missed { MissedRule::Skip => 0, MissedRule::Once => 1, MissedRule::All => missed_max as usize };
            let made_up = late.iter().rev().take(most).copied().filter(|at| now.0 - at <= 1_000 * catch_up_s as i64);
            let mut expected: Vec<i64> = made_up.collect();
            expected.reverse();
            let skipped = late.len() - expected.len();
            expected.extend(all.iter().copied().filter(on_time));
            prop_assert_eq!(found.fire.iter().map(|at| at.0).collect::<Vec<_>>(), expected);
            prop_assert_eq!(found.missed.map_or(0, |missed| missed.count as usize), skipped);
            if let Some(missed) = found.missed {
                prop_assert_eq!((missed.first.0, missed.last.0), (late[0], late[skipped - 1]));
            }
            prop_assert_eq!(found.through.0, all.last().copied().unwrap_or(0));
        }

        #[test]
        fn jitter_is_below_its_bound_and_stays(id: u128, agent in "[a-z]{1,20}", jitter_s in 0_u64..90_000) {
            let agent: AgentId = agent.parse().expect("id");
            let id = ScheduleId(Uuid::from_u128(id));
            let jitter = jitter_ms(id, Some(&agent), jitter_s);
            prop_assert!(jitter < (jitter_s * 1_000).max(1));
            prop_assert_eq!(jitter, jitter_ms(id, Some(&agent), jitter_s));
        }
    }

    #[test]
    fn jitter_spreads_evenly() {
        let mut counts = [0; 10];
        for number in 0..10_000_u128 {
            counts[jitter_ms(ScheduleId(Uuid::from_u128(number)), None, 10) as usize / 1_000] += 1;
        }
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }
}

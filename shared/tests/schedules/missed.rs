//! What is done about moments that have come, for timetables whose moments are far apart and close by
//! turns, against a list of all of them.

use proptest::prelude::*;
use serde_json::json;
use shared::schedule::{MissedRule, ON_TIME_MS, Rules, Timetable, Window, due};
use shared::time::Timestamp;

use crate::common::{Bundled, moment, trigger};

/// Around the time change of 8 March 2026 in New York.
const FROM: &str = "2026-03-06T00:00:00Z";

fn timetable() -> impl Strategy<Value = Timetable> {
    let crons = [
        ("*/7 * 0-2,9 * * *", "America/New_York"),
        ("0 */10 * * * *", "UTC"),
        ("30 0,30 2 * * *", "America/New_York"),
        ("0 0 12 8 3 *", "Asia/Tokyo"),
    ];
    let cron = prop::sample::select(crons.to_vec())
        .prop_map(|(cron, zone)| json!({"cron": cron, "fields": 6, "zone": zone}));
    let at = prop::collection::vec((0_i64..260_000, 0_i64..3_000), 1..60).prop_map(|seconds| {
        let start = moment(FROM);
        let at = |(s, ms): (i64, i64)| start.plus_ms(1 + s * 1_000 + ms);
        json!({"at": seconds.into_iter().map(at).collect::<Vec<_>>()})
    });
    let every = (1_u64..5_000).prop_map(|interval_s| json!({"interval_s": interval_s}));
    prop_oneof![cron, at, every].prop_map(|document| {
        let timetable =
            Timetable::new(&trigger(document), &Window::default(), moment(FROM), &Bundled);
        timetable.expect("a timetable")
    })
}

fn all(timetable: &Timetable, after: Timestamp, upto: Timestamp) -> Vec<Timestamp> {
    let next = |after: &Timestamp| timetable.next(*after).filter(|at| *at <= upto);
    std::iter::successors(next(&after), next).collect()
}

fn ms(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).expect("in range")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_rule_is_that_of_a_list_of_all_moments(
        timetable in timetable(),
        which in 0..3_usize,
        (missed_max, catch_up_s) in (1_u32..50, 0_u64..200_000),
        (begun_ms, away_ms, offset_ms) in (0_i64..100_000_000, 0_i64..160_000_000, 0_u64..90_000),
    ) {
        let rules = Rules { missed: MissedRule::ALL[which].1, missed_max, catch_up_s };
        let through = moment(FROM).plus_ms(begun_ms);
        let now = through.plus_ms(away_ms);
        let found = due(&timetable, &rules, offset_ms, through, now);
        let come = now.plus_ms(-ms(offset_ms));
        let moments = all(&timetable, through, come);
        let late = moments.partition_point(|at| *at < come.plus_ms(-ms(ON_TIME_MS)));
        let most = match rules.missed {
            MissedRule::Skip => 0,
            MissedRule::Once => 1,
            MissedRule::All => missed_max as usize,
        };
        let oldest = come.plus_ms(-ms(catch_up_s * 1_000));
        let too_old = moments[..late].partition_point(|at| *at < oldest);
        let split = too_old.max(late.saturating_sub(most));
        prop_assert_eq!(&found.fire[..], &moments[split..]);
        let missed = found.missed.map(|missed| (missed.first, missed.last));
        prop_assert_eq!(missed, (split > 0).then(|| (moments[0], moments[split - 1])));
        prop_assert_eq!(found.missed.map_or(0, |it| it.count as usize), split.min(10_000));
        prop_assert_eq!(found.through, moments.last().copied().unwrap_or(through));
        prop_assert_eq!(found.next, timetable.next(found.through));
        // A clock that goes back finds nothing to do.
        let again = due(&timetable, &rules, offset_ms, found.through, now.plus_ms(-50_000));
        prop_assert!(again.fire.is_empty() && again.missed.is_none());
        prop_assert_eq!(again.through, found.through);
    }

    /// However the time is cut into looks, as long as none is late, each moment fires once.
    #[test]
    fn looking_often_fires_what_there_is(
        timetable in timetable(),
        looks in prop::collection::vec(1_i64..9_000, 1..300),
        (begun_ms, offset_ms) in (0_i64..100_000_000, 0_u64..90_000),
    ) {
        let start = moment(FROM).plus_ms(begun_ms);
        let rules = Rules { missed: MissedRule::Skip, missed_max: 1, catch_up_s: 0 };
        let (mut through, mut fired) = (start, Vec::new());
        let mut now = start.plus_ms(ms(offset_ms));
        for look_ms in looks {
            now = now.plus_ms(look_ms);
            let found = due(&timetable, &rules, offset_ms, through, now);
            prop_assert!(found.missed.is_none());
            fired.extend(found.fire);
            through = found.through;
        }
        prop_assert_eq!(fired, all(&timetable, start, now.plus_ms(-ms(offset_ms))));
    }
}

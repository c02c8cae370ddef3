//! Schedules that a board fires alone: while it is cut off its power goes, it starts again as another
//! boot, and its clocks are put back for the winter. Afterwards the core has every moment once.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shared::api::{AgentStatus, FiringDocument, FiringStatus, Page};
use shared::time::Timestamp;
use tests::builder::{CORE_HOST, once};
use tests::hosts::{TRUE_MONOTONIC, WallClock, system};
use tests::wait::{check, eventually};
use tests::{AgentSetup, BrokerKind, ClusterBuilder, Hosts};

use super::{HEARTBEAT_MS, Site};

/// When clocks in Berlin go from 03:00 summer time back to 02:00.
const BACK: &str = "2027-10-31T01:00:00Z";
/// How long before that this world begins, and how long after it the schedules end, in seconds.
const BEFORE_S: i64 = 40;
const AFTER_S: i64 = 12;
/// How far the moments are apart, in milliseconds.
const STEP_MS: i64 = 4_000;
/// How long the board is without power.
const DARK: Duration = Duration::from_secs(6);
/// A schedule that follows real time, and one with a fixed hour, for which the second 02:00 to 03:00 is
/// not there.
const REAL: (&str, &str) = ("real-time", "*/4 * * * * *");
const FIXED: (&str, &str) = ("fixed-hour", "*/4 0-59 2 * * *");

/// The true time, in seconds.
fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("in time")
}

/// A site whose core and agent `a` have clocks that show a while before they are put back.
fn before_the_change(back: Timestamp) -> Option<Site> {
    let mut hosts = Hosts::or_skip()?;
    let builder = ClusterBuilder::new(BrokerKind::Embedded).heartbeat_ms(HEARTBEAT_MS);
    let mut cluster = builder.agent(AgentSetup::at("a", 0.0, 0.0)).lay_out_on(&mut hosts);
    let ahead_s = back.0 / 1_000 - BEFORE_S - now_s();
    for name in [CORE_HOST, "a"] {
        if let Err(why) = hosts.host(name).set_clock(WallClock::Ahead(ahead_s)) {
            system::skip(&why);
            return None;
        }
    }
    let (name, value) = TRUE_MONOTONIC;
    cluster.core.daemon.set_env(name, value);
    cluster.agent("a").daemon.set_env(name, value);
    cluster.start();
    Some(Site { cluster, hosts })
}

fn make(site: &Site, (name, cron): (&str, &str), ends_at: Timestamp) {
    let spec = json!({
        "name": name, "resident": true, "missed": "all", "overlap": "allow", "ends_at": ends_at,
        "trigger": {"cron": cron, "fields": 6, "zone": "Europe/Berlin"},
        "task": once(&site.cluster, "true"),
    });
    let answer = site.cluster.api.request("POST", "/v1/schedules", Some(&spec)).expect("an answer");
    assert_eq!(answer.status, 201, "{answer}");
}

/// A moment as programs write it.
fn moment(value: &Value) -> Option<Timestamp> {
    serde_json::from_value(value.clone()).ok()
}

/// What the board's own database says of a schedule; null if it does not hold it.
fn held(site: &mut Site, name: &str) -> Result<Value, String> {
    let view = site.own_view("a", "status")?;
    let held = view["schedules"].as_array().into_iter().flatten();
    Ok(held.into_iter().find(|one| one["name"] == name).cloned().unwrap_or_default())
}

/// Waits until the board has dealt with a schedule's moments up to some time.
fn has_come(site: &mut Site, name: &str, upto: Timestamp) {
    eventually(&format!("the board to come to {upto} with {name}"), || {
        let held = held(site, name)?;
        let last = moment(&held["last"]);
        check(last.is_some_and(|last| last >= upto), || held.to_string())
    });
}

/// The last moment that the board fired for, once there is one.
fn last_fired(site: &mut Site, name: &str) -> Timestamp {
    eventually(&format!("the board to fire {name}"), || {
        moment(&held(site, name)?["last"]).ok_or_else(|| "not yet".to_owned())
    })
}

/// Its history at the core, the first moment first.
fn firings(site: &Site, name: &str) -> Result<Vec<FiringDocument>, String> {
    let path = format!("/v1/schedules/{name}/firings?limit=500");
    let answer = site.cluster.api.request("GET", &path, None).map_err(|error| error.to_string())?;
    let page: Page<FiringDocument> = answer.read()?;
    let mut items = page.items;
    items.reverse();
    Ok(items)
}

/// Waits until the core has a schedule's moments up to the last one, and checks that from the first to
/// the last each is there once, with a task of its own. Answers the tasks.
fn assert_each_once(site: &Site, name: &str, last: Timestamp) -> BTreeSet<String> {
    let all = eventually(&format!("the core to hear of {name} to its end"), || {
        let firings = firings(site, name)?;
        check(firings.last().is_some_and(|it| it.at >= last), || format!("{firings:?}"))?;
        Ok(firings)
    });
    let mut at = all[0].at;
    let mut tasks = BTreeSet::new();
    for firing in &all {
        assert_eq!((firing.at, firing.status), (at, FiringStatus::Fired), "{name}: {all:?}");
        assert_eq!(firing.upto.unwrap_or(at), at, "each by itself: {firing:?}");
        let task = firing.task.expect("a task").to_string();
        assert!(tasks.insert(task), "one task for two moments: {firing:?}");
        at = at.plus_ms(STEP_MS);
    }
    assert_eq!(at, last.plus_ms(STEP_MS), "{name} ends there: {all:?}");
    let made: BTreeSet<String> = site
        .cluster
        .api
        .tasks(&format!("&schedule={name}"))
        .expect("tasks")
        .into_iter()
        .map(|task| task.id.to_string())
        .collect();
    assert_eq!(made, tasks, "no task came of nothing");
    tasks
}

#[test]
fn a_board_fires_alone_through_a_reboot_and_a_time_change_and_all_of_it_arrives_once() {
    let back: Timestamp = moment(&json!(BACK)).expect("a moment");
    let ends_at = Timestamp(back.0 + AFTER_S * 1_000);
    let Some(mut site) = before_the_change(back) else {
        return;
    };
    for schedule in [REAL, FIXED] {
        make(&site, schedule, ends_at);
    }
    for (name, _) in [REAL, FIXED] {
        eventually("the board to hold it", || {
            let held = held(&mut site, name)?;
            check(!held.is_null(), || format!("{name} is not there"))
        });
    }
    site.hosts.cut("a");
    site.cluster.api.agent_is("a", AgentStatus::Offline);
    site.knows_it_is_cut_off("a");
    // In the dark; then without power for longer than the moments are apart.
    let dark = last_fired(&mut site, REAL.0);
    has_come(&mut site, REAL.0, dark.plus_ms(STEP_MS));
    let before = last_fired(&mut site, FIXED.0);
    assert!(before < back, "the clocks were to go back after the reboot");
    site.hosts.power_cut(&["a"]);
    std::thread::sleep(DARK);
    site.cluster.agent("a").daemon.kill();
    site.hosts.host("a").reboot();
    site.cluster.agent("a").daemon.start();
    // Over the change and to the end, still alone.
    let (last_real, last_fixed) = (ends_at.plus_ms(-STEP_MS), back.plus_ms(-STEP_MS));
    has_come(&mut site, REAL.0, last_real);
    has_come(&mut site, FIXED.0, last_fixed);
    site.knows_it_is_cut_off("a");
    let known = firings(&site, REAL.0).expect("its history");
    assert!(known.last().is_none_or(|it| it.at < before), "the core cannot know: {known:?}");

    site.hosts.heal("a");
    let mut tasks = assert_each_once(&site, REAL.0, last_real);
    tasks.extend(assert_each_once(&site, FIXED.0, last_fixed));
    site.cluster.wait_until_idle();
    assert_eq!(site.cluster.evidence.doubled(), [], "no moment ran twice");
    let traces = site.cluster.evidence.traces();
    let ran: BTreeSet<String> = traces.keys().map(|(task, _)| task.clone()).collect();
    assert!(ran.is_subset(&tasks), "nothing ran that the core does not know");
    println!("{} moments, {} ran to their end", tasks.len(), traces.len());
    // Only what ran when the power went may have no end.
    let whole = traces.values().filter(|trace| trace.ends == 1).count();
    assert!(whole + 2 >= tasks.len(), "{whole} of {} ran: {traces:?}", tasks.len());
}

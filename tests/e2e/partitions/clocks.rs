//! Boards that do not know what year it is: one that woke up in 1970, one that is years ahead, one
//! that is years behind, and one whose clock is put right, and wrong, while it works. Timeouts go
//! by the monotonic clock, the core shows times that can be true, and nothing is destroyed.

use std::path::PathBuf;

use serde_json::json;
use shared::api::{AgentStatus, TaskDocument};
use shared::task::{FailureReason, TaskStatus};
use shared::time::Timestamp;
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::hosts::{TRUE_MONOTONIC, WallClock, clock_library, system};
use tests::spec::{on, with};
use tests::wait::{check, eventually};
use tests::{AgentSetup, BrokerKind, ClusterBuilder, Hosts};

use super::{HEARTBEAT_MS, Site, site};

const YEAR_S: i64 = 365 * 86_400;
/// What the clocks show.
const CLOCKS: [(&str, WallClock); 3] = [
    ("a", WallClock::Since1970(20)),
    ("b", WallClock::Ahead(2 * YEAR_S)),
    ("c", WallClock::Ahead(-2 * YEAR_S)),
];
/// A timeout, and how long a task would take without it.
const TIMEOUT_S: u64 = 2;

/// Checks that the times of a task's attempts lie between its offer and its end by the core's
/// clock, in that order.
fn assert_times(task: &TaskDocument) {
    let brief = in_brief(task);
    let mut last = task.summary.submitted_at;
    for row in &task.assignments {
        let times = [Some(row.offered_at), row.accepted_at, row.started_at, row.ended_at];
        for at in times.into_iter().flatten() {
            assert!(at >= last, "{at} is before {last}: {row:?}\n{brief}");
            last = at;
        }
    }
    let settled_at = task.outcome.as_ref().map_or(last, |outcome| outcome.settled_at);
    assert!(settled_at >= last, "settled at {settled_at}, before {last}: {brief}");
    assert!(settled_at <= now(), "settled at {settled_at}, which is still to come: {brief}");
}

/// The core's clock, which is this test's.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// Waits until an agent is known to believe its wall clock, or not to.
fn assert_believes(site: &Site, agent: &str, believes: bool) {
    let what = if believes { "to believe" } else { "to doubt" };
    eventually(&format!("agent {agent} {what} its clock"), || {
        let seen = site.cluster.api.agent(agent)?;
        check(seen.clock_trusted == Some(believes), || format!("{seen:?}"))
    });
}

/// Checks that an agent's task succeeded and that what should time out did, not before its time.
fn assert_outcomes(site: &Site, good: &str, endless: &str) {
    let api = site.cluster.api;
    site.assert_done_at_once(good);
    let done = api.settled(good);
    assert_times(&done);
    let outcome = done.outcome.as_ref().expect("an outcome");
    let ran_ms = outcome.ran_ms.expect("it ran");
    assert!((900..60_000).contains(&ran_ms), "it ran for a second: {ran_ms} ms");
    let done = api.settled(endless);
    assert_times(&done);
    assert_eq!(done.summary.reason, Some(FailureReason::TimedOut), "{}", in_brief(&done));
    let ran_ms = done.outcome.as_ref().and_then(|outcome| outcome.ran_ms).expect("it ran");
    assert!((TIMEOUT_S * 1_000..60_000).contains(&ran_ms), "{ran_ms} ms");
}

/// A task of a second and one that takes too long.
fn submit_both(site: &Site, agent: &str) -> (String, String) {
    let api = site.cluster.api;
    let good = api.submit(&on(once(&site.cluster, "sleep 1; echo in time"), &[agent]));
    let bounded = json!({"timeout_s": TIMEOUT_S});
    let endless = with(on(once(&site.cluster, "sleep 600"), &[agent]), bounded);
    (good, api.submit(&endless))
}

#[test]
fn boards_years_off_run_tasks_by_their_monotonic_clocks() {
    let Some(mut hosts) = Hosts::or_skip() else {
        return;
    };
    let builder = ClusterBuilder::new(BrokerKind::Embedded).agents(3).heartbeat_ms(HEARTBEAT_MS);
    let mut cluster = builder.lay_out_on(&mut hosts);
    for (agent, clock) in CLOCKS {
        if let Err(why) = hosts.host(agent).set_clock(clock) {
            return system::skip(&why);
        }
        let (name, value) = TRUE_MONOTONIC;
        cluster.agent(agent).daemon.set_env(name, value);
    }
    cluster.start();
    let mut site = Site { cluster, hosts };
    let api = site.cluster.api;
    let submitted: Vec<_> =
        CLOCKS.iter().map(|(agent, _)| (*agent, submit_both(&site, agent))).collect();
    for (agent, (good, endless)) in &submitted {
        assert_outcomes(&site, good, endless);
        println!("{agent}: {:?}", api.agent(agent).expect("the agent").clock_offset_ms);
    }
    for (agent, clock) in CLOCKS {
        // The clock is really that wrong, and the core knows by how much.
        let wrong_by = clock.offset_s() * 1_000;
        let offset = eventually("the clock's offset to be measured", || {
            api.agent(agent)?.clock_offset_ms.ok_or("not yet".to_owned())
        });
        assert!((offset - wrong_by).abs() < 600_000, "{agent}: {offset} ms, not {wrong_by} ms");
        assert_believes(&site, agent, false);
    }
    for (agent, _) in CLOCKS {
        // What it holds outlives a restart by the same wrong clock.
        let (script, gate) = site.gated(agent, "echo still there");
        let id = api.submit(&on(once(&site.cluster, &script), &[agent]));
        api.running(&id);
        site.cluster.agent(agent).daemon.kill();
        site.cluster.agent(agent).daemon.start();
        api.agent_is(agent, AgentStatus::Online);
        site.holds(agent, &id, "running");
        gate.open();
        site.assert_done_at_once(&id);
        assert_times(&api.settled(&id));
    }
    site.cluster.wait_until_idle();
}

#[test]
fn a_board_that_wakes_up_in_1970_without_a_link_does_its_work() {
    let setup = AgentSetup::at("a", 0.0, 0.0).running_max(1);
    let Some(mut site) = site(ClusterBuilder::new(BrokerKind::Embedded).agent(setup)) else {
        return;
    };
    let api = site.cluster.api;
    let submit = |site: &Site, script: &str| api.submit(&on(once(&site.cluster, script), &["a"]));
    let (script, _gate) = site.gated("gate", "exit 0");
    let only_here = json!({"disconnect": {"replace": false}});
    let broken_off = api.submit(&with(on(once(&site.cluster, &script), &["a"]), only_here));
    api.running(&broken_off);
    let waiting = submit(&site, "date -u +%Y");
    let bounded = json!({"timeout_s": TIMEOUT_S});
    let endless = api.submit(&with(on(once(&site.cluster, "sleep 600"), &["a"]), bounded));
    site.holds("a", &waiting, "accepted");
    site.holds("a", &endless, "accepted");

    site.hosts.cut("a");
    site.hosts.power_cut(&["a"]);
    site.cluster.agent("a").daemon.kill();
    site.hosts.host("a").reboot();
    if let Err(why) = site.hosts.host("a").set_clock(WallClock::Since1970(20)) {
        return system::skip(&why);
    }
    let (name, value) = TRUE_MONOTONIC;
    site.cluster.agent("a").daemon.set_env(name, value);
    site.cluster.agent("a").daemon.start();
    for id in [&waiting, &endless, &broken_off] {
        site.holds("a", id, "finished");
        site.assert_open(id);
    }

    site.hosts.heal("a");
    site.assert_done_at_once(&waiting);
    let done = api.settled(&waiting);
    assert_eq!(done.outcome.as_ref().map(|outcome| &*outcome.stdout_tail), Some("1970\n"));
    let timed_out = api.settled(&endless);
    assert_eq!(timed_out.summary.reason, Some(FailureReason::TimedOut), "{}", in_brief(&timed_out));
    let lost = api.settled(&broken_off);
    assert_eq!(lost.summary.reason, Some(FailureReason::Lost), "{}", in_brief(&lost));
    [done, timed_out, lost].iter().for_each(assert_times);
    site.cluster.wait_until_idle();
}

/// A wall clock that is changed by writing to a file.
struct Moving(PathBuf);

impl Moving {
    fn set(&self, clock: WallClock) {
        std::fs::write(&self.0, format!("{:+}\n", clock.offset_s())).expect("the clock");
    }
}

#[test]
fn a_wall_clock_that_jumps_moves_no_timeout_and_destroys_nothing() {
    let Some(mut hosts) = Hosts::or_skip() else {
        return;
    };
    let library = match clock_library() {
        Ok(library) => library,
        Err(why) => return system::skip(&why),
    };
    let builder = ClusterBuilder::new(BrokerKind::Embedded).agents(1).heartbeat_ms(HEARTBEAT_MS);
    let mut cluster = builder.lay_out_on(&mut hosts);
    let clock = Moving(cluster.scratch.join("clock"));
    clock.set(WallClock::Ahead(0));
    let file = clock.0.display().to_string();
    let daemon = &mut cluster.agent("a").daemon;
    let words = [("LD_PRELOAD", library), ("FAKETIME_TIMESTAMP_FILE", &file)];
    for (name, value) in words.into_iter().chain([("FAKETIME_NO_CACHE", "1"), TRUE_MONOTONIC]) {
        daemon.set_env(name, value);
    }
    cluster.start();
    let mut site = Site { cluster, hosts };
    let api = site.cluster.api;
    let (script, gate) = site.gated("gate", "echo through it all");
    let long = json!({"timeout_s": 3_600});
    let through = api.submit(&with(on(once(&site.cluster, &script), &["a"]), long));
    api.running(&through);
    for jump in [WallClock::Ahead(2 * YEAR_S), WallClock::Since1970(5), WallClock::Ahead(-3_600)] {
        clock.set(jump);
        let wrong_by = jump.offset_s() * 1_000;
        eventually("the core to see the clock jump", || {
            let offset = api.agent("a")?.clock_offset_ms;
            let near = offset.is_some_and(|offset| (offset - wrong_by).abs() < 600_000);
            check(near, || format!("{offset:?}, not {wrong_by}"))
        });
        let (good, endless) = submit_both(&site, "a");
        assert_outcomes(&site, &good, &endless);
        site.holds("a", &through, "running");
    }
    // Restarted while its clock is wrong, put right afterwards.
    site.cluster.agent("a").daemon.kill();
    clock.set(WallClock::Since1970(5));
    site.cluster.agent("a").daemon.start();
    api.agent_is("a", AgentStatus::Online);
    assert_believes(&site, "a", false);
    clock.set(WallClock::Ahead(0));
    assert_believes(&site, "a", true);
    site.holds("a", &through, "running");
    gate.open();
    site.assert_done_at_once(&through);
    let done = api.settled(&through);
    assert_times(&done);
    assert_eq!(done.summary.status, TaskStatus::Succeeded);
    assert_eq!(site.cluster.evidence.of(&through, 1), Traces { starts: 1, ends: 1 });
    site.cluster.wait_until_idle();
}

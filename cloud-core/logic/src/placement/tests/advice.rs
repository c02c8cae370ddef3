//! What a person reads about a task that waits, and that following the advice works.

use proptest::prelude::*;
use shared::api::{AgentStatus, RefusalName, Terms, Together};
use shared::id::TaskId;
use shared::spec::TaskSpec;
use shared::task::TaskStatus;
use shared::time::Timestamp;

use super::super::{Policy, Request, Waiting, explain_placed, explain_waiting, what_helps};
use super::worlds::any_world;
use super::{
    agent, area, changed, fleet, id, melbourne, near, plan, request, signal, snapshot, sydney, task,
};
use crate::change::Placed;
use crate::fleet::Agent;

const WAITS: &str = "Waiting can help";
const DOES_NOT: &str = "Waiting alone does not help: the task or the fleet has to change";

fn advice(agents: impl IntoIterator<Item = Agent>, spec: &TaskSpec) -> Vec<String> {
    let plan = plan(&fleet(agents), &request(spec), &Policy::default(), 10, 3);
    what_helps(&plan, &request(spec))
}

fn labeled(key: &str, value: &str) -> TaskSpec {
    task(|spec| spec.place.labels = [(key.to_owned(), value.to_owned())].into())
}

#[test]
fn an_empty_fleet_needs_an_agent() {
    let told = advice([], &task(|_| {}));
    assert_eq!(told, ["No agent has joined yet: start one with `ambit-agent run`"]);
}

#[test]
fn a_task_that_can_be_placed_needs_nothing() {
    let told = advice([agent("a"), agent("b")], &task(|_| {}));
    assert_eq!(told, ["Nothing is needed: 2 agents may take it now, first a"]);
}

#[test]
fn a_label_that_nobody_has_is_told_with_those_there_are() {
    let told = advice([agent("a"), agent("b")], &labeled("sensor", "pm25"));
    let expected = "2 agents would do but lack a label: no agent has label sensor=pm25: label one, \
                    or drop it from where.labels";
    assert_eq!(told, [expected, DOES_NOT]);
    let told = advice([agent("a"), agent("b")], &labeled("os", "alpine"));
    let expected = "2 agents would do but lack a label: no agent has label os=alpine (there is \
                    os=debian): label one, or drop it from where.labels";
    assert_eq!(told, [expected, DOES_NOT]);
    let away = changed("c", |agent| {
        agent.status = AgentStatus::Offline;
        agent.facts.labels.insert("sensor".to_owned(), "pm25".to_owned());
    });
    let told = advice([agent("a"), away], &labeled("sensor", "pm25"));
    assert_eq!(
        told[0],
        "1 agent would do but lacks a label: label a sensor=pm25, or drop it from where.labels"
    );
    assert_eq!(
        told[1],
        "1 agent would do but is offline: wait until it is heard again, or look after the power \
         and network of c"
    );
    assert_eq!(told[2], WAITS);
}

#[test]
fn full_agents_are_worth_waiting_for() {
    let busy = |name: &str| changed(name, |agent| agent.used.cpu_millis = 3_800);
    let spec = task(|spec| spec.needs.cpu_millis = 500);
    let told = advice([busy("a"), busy("b"), busy("c")], &spec);
    let expected = "3 agents would do but lack free cpu: wait until enough comes free, or ask for \
                    at most 200 in needs.cpu_millis";
    assert_eq!(told, [expected, WAITS]);
    let spec = task(|spec| spec.needs.cpu_millis = 5_000);
    let expected = "1 agent would do but lacks free cpu: ask for at most 4000 in needs.cpu_millis, \
                    or add an agent with at least 5000";
    assert_eq!(advice([busy("a")], &spec), [expected, DOES_NOT]);
}

#[test]
fn a_deadline_bounds_the_waiting() {
    let busy = changed("a", |agent| agent.assignments = 4);
    let told = advice([busy], &task(|spec| spec.deadline_s = Some(60)));
    let expected = "1 agent would do but holds all it may: wait until an assignment of a is over, \
                    or let it hold more than 4";
    let until = "Waiting can help, until its deadline 60 s after it was submitted";
    assert_eq!(told, [expected, until]);
}

#[test]
fn the_distance_to_allow_is_told_for_the_nearest() {
    let spec = task(|spec| spec.place.near = near(sydney(), Some(50_000.0)));
    let told = advice([agent("a")], &spec);
    let expected =
        "1 agent would do but is too far away: raise where.near.within_m to at least 713429 for a";
    assert_eq!(told, [expected, DOES_NOT]);
}

#[test]
fn what_stands_against_every_agent_is_told_when_one_change_is_not_enough() {
    let tasks = |agent: &mut Agent| {
        agent.facts.tasks_max = 0;
        agent.flags.cordoned = true;
    };
    let told = advice([changed("a", tasks), changed("b", tasks)], &task(|_| {}));
    let expected = [
        "All 2 agents are cordoned: uncordon a",
        "All 2 agents hold all they may: let a take assignments",
        DOES_NOT,
    ];
    assert_eq!(told, expected);
    let told = advice([changed("a", tasks)], &task(|_| {}));
    assert_eq!(told[0], "The only agent is cordoned: uncordon a");
}

#[test]
fn the_most_frequent_reasons_are_told_when_nothing_else_is_certain() {
    let one = changed("a", |agent| {
        agent.flags.cordoned = true;
        agent.status = AgentStatus::Offline;
    });
    let other = changed("b", |agent| {
        agent.facts.tasks_max = 0;
        agent.facts.runtimes.clear();
    });
    let told = advice([one, other], &task(|_| {}));
    assert_eq!(told.len(), 5);
    assert_eq!(told[0], "1 agent is cordoned: uncordon a");
    assert_eq!(told[4], DOES_NOT);
}

#[test]
fn a_word_that_the_fleet_does_not_know_is_corrected() {
    let region = task(|spec| spec.place.regions = vec!["au-suoth".to_owned()]);
    assert!(
        advice([agent("a")], &region)[0]
            .ends_with("no agent is in au-suoth; did you mean au-south?")
    );
    let elsewhere = task(|spec| spec.place.regions = vec!["mars".to_owned()]);
    assert!(
        advice([agent("a")], &elsewhere)[0].ends_with("no agent is in mars; there is au-south")
    );
    let listed = task(|spec| spec.place.agents = vec![id("board-17")]);
    let told = advice([agent("board-1"), agent("x")], &listed);
    let expected = "where.agents lists board-17, but there is no such agent; did you mean board-1?";
    assert!(told[0].ends_with(expected), "{told:?}");
    let device = task(|spec| spec.needs.devices = [("camara".to_owned(), 1)].into());
    let told = advice([agent("a")], &device);
    assert!(told[0].ends_with("no agent has a device camara; did you mean camera?"), "{told:?}");
    let arch = task(|spec| spec.place.arch = vec!["x86_64".to_owned()]);
    let told = advice([agent("a")], &arch);
    assert!(
        told[0].ends_with("no agent is x86_64: allow aarch64 in where.arch, or add such an agent"),
        "{told:?}"
    );
}

#[test]
fn each_reason_has_its_advice() {
    let told = |agent: Agent, spec: &TaskSpec| {
        let plan = plan(&fleet([agent]), &request(spec), &Policy::default(), 1, 1);
        plan.refused[0].help.clone()
    };
    let unmeasured = changed("a", |agent| agent.signal = signal(0.0, None));
    let quick = task(|spec| spec.place.latency_ms_max = Some(5.5));
    assert_eq!(told(unmeasured, &quick), "wait until its round trip is measured");
    let slow = changed("a", |agent| agent.signal = signal(0.0, Some(9.2)));
    let expected =
        "wait until the link of a is faster, or raise where.latency_ms_max to at least 10";
    assert_eq!(told(slow, &quick), expected);
    let inside = task(|spec| spec.place.area = Some(area(150.0, -35.0, 152.0, -33.0)));
    let expected = "widen where.area to take in a at -37.81360, 144.96310";
    assert_eq!(told(agent("a"), &inside), expected);
    let lost = changed("a", |agent| agent.facts.position = None);
    assert_eq!(told(lost, &inside), "give a a position (its latitude and longitude)");
    let tainted = changed("a", |agent| agent.facts.taints = vec!["noisy".to_owned()]);
    assert_eq!(told(tainted, &task(|_| {})), "add noisy to where.tolerate");
    let camera = task(|spec| spec.needs.devices = [("camera".to_owned(), 2)].into());
    let filming = changed("a", |agent| agent.used.devices = [("camera".to_owned(), 1)].into());
    assert_eq!(told(filming, &camera), "wait until 2 camera are free");
    let avoiding = task(|spec| spec.place.avoid_agents = vec![id("a")]);
    assert_eq!(told(agent("a"), &avoiding), "take a off where.avoid_agents");
}

fn waiting(not_before: Option<Timestamp>) -> Waiting {
    Waiting { task: TaskId(uuid::Uuid::from_u128(1)), status: TaskStatus::Pending, not_before }
}

#[test]
fn a_task_that_waits_is_told_why() {
    let busy = changed("b", |agent| agent.assignments = 4);
    let away = changed("c", |agent| agent.facts.position = Some(sydney()));
    let fleet = fleet([busy, away]);
    let spec = task(|spec| spec.place.near = near(melbourne(), Some(50_000.0)));
    let told = |not_before| {
        explain_waiting(waiting(not_before), &snapshot(&fleet), &request(&spec), &Policy::default())
    };
    let explanation = told(None);
    assert_eq!(
        explanation.summary,
        "It waits for a place. None of 2 agents may take it now (slots 1, too_far 1); waiting can \
         help"
    );
    assert_eq!(explanation.what_helps.len(), 3);
    assert_eq!(explanation.plan.expect("a plan").refused[0].reason, RefusalName::Slots);
    assert!(explanation.placed.is_none());
    let backing_off = told(Some(Timestamp(0))).summary;
    let expected = "It waits until 1970-01-01T00:00:00.000Z before it is tried again. None of";
    assert!(backing_off.starts_with(expected), "{backing_off}");
}

#[test]
fn a_task_that_has_a_place_is_told_why_there() {
    let terms = Terms { load: 0.88, capacity: 0.8, distance: Some(0.9), latency: 0.94 };
    let mut placed = Placed {
        score: 0.83,
        terms,
        distance_m: Some(11_120.4),
        latency_ms: Some(3.1),
        policy: 3,
        profile: None,
        gap: None,
        together: None,
    };
    let told = |placed: &Placed| {
        explain_placed(TaskId(uuid::Uuid::nil()), TaskStatus::Running, &id("board-7"), placed)
    };
    let explanation = told(&placed);
    assert_eq!(
        explanation.summary,
        "Placed on board-7 with score 0.83 under policy 3; no agent that could take it scored \
         higher. Its terms, each 0 to 1: load 0.88, capacity 0.80, distance 0.90 (11 km), latency \
         0.94 (3.1 ms)"
    );
    let candidate = explanation.placed.expect("placed");
    assert_eq!((candidate.agent, candidate.terms), (id("board-7"), terms));
    placed.terms.distance = None;
    (placed.distance_m, placed.latency_ms) = (None, None);
    assert!(told(&placed).summary.ends_with("capacity 0.80, latency 0.94 (not measured)"));
    placed.together = Some(Box::new(Together { others: 12, own_best: id("board-3") }));
    let stood_back = "under policy 3; together with 12 other tasks: its own best, board-3, does more \
                      for others of them. Its terms";
    assert!(told(&placed).summary.contains(stood_back), "{}", told(&placed).summary);
}

/// The number behind "at least" or "at most" in a piece of advice.
fn figure(help: &str, behind: &str) -> Option<u64> {
    help.split_once(behind)?.1.split_whitespace().next()?.parse().ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn following_the_figures_of_the_advice_gives_a_place(world in any_world()) {
        let plan = |spec: &TaskSpec| {
            let request = Request { avoid: &world.avoid, ..Request::of(spec) };
            plan(&world.fleet, &request, &Policy::default(), 1, 1)
        };
        let before = plan(&world.spec);
        for refused in before.refused.iter().filter(|one| one.alone > 0) {
            let mut spec = world.spec.clone();
            let (least, most) =
                (figure(&refused.help, "to at least "), figure(&refused.help, "for at most "));
            match (refused.reason, least, most) {
                (RefusalName::TooFar, Some(least), _) => {
                    spec.place.near.as_mut().expect("near").within_m = Some(least as f64);
                }
                (RefusalName::LatencyTooHigh, Some(least), _) => {
                    spec.place.latency_ms_max = Some(least as f64);
                }
                (RefusalName::Cpu, _, Some(most)) => spec.needs.cpu_millis = most,
                (RefusalName::Memory, _, Some(most)) => spec.needs.memory_mib = most,
                (RefusalName::Disk, _, Some(most)) => spec.needs.disk_mib = most,
                (RefusalName::Bandwidth, _, Some(most)) => spec.needs.bandwidth_kbps = most,
                _ => continue,
            }
            let after = plan(&spec);
            // Advice that does not begin with waiting may lead to it.
            let waits = !refused.help.starts_with("wait")
                && after.refused.iter().any(|one| one.reason == refused.reason && one.waiting_helps);
            prop_assert!(after.feasible > before.feasible || waits, "{}", refused.help);
        }
    }

    #[test]
    fn advice_is_short_and_never_empty(world in any_world()) {
        let request = world.request();
        let plan = plan(&world.fleet, &request, &Policy::default(), 1, 1);
        let told = what_helps(&plan, &request);
        prop_assert!((1..=5).contains(&told.len()), "{told:?}");
        prop_assert!(told.iter().all(|sentence| sentence.len() < 400), "{told:?}");
    }
}

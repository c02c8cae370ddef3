//! Where tasks go, and what is said about it.

use serde_json::json;
use shared::api::{Plan, RefusalName};
use shared::task::TaskStatus;
use tests::spec::{noop, sh, task, with};
use tests::wait::{check, eventually};
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder};

tests::on_both_brokers!(
    a_task_goes_to_the_nearest_agent_that_may_take_it,
    a_task_that_fits_nowhere_waits_with_reasons_until_it_fits,
);

const MELBOURNE: (f64, f64) = (-37.8136, 144.9631);

fn three_cities(kind: BrokerKind) -> Cluster {
    ClusterBuilder::new(kind)
        .agent(
            AgentSetup::at("geelong", -38.1499, 144.3617).region("au-south").label("sensor=pm25"),
        )
        .agent(AgentSetup::at("sydney", -33.8688, 151.2093).region("au-east").label("sensor=pm25"))
        .agent(AgentSetup::at("melbourne", MELBOURNE.0, MELBOURNE.1).region("au-south"))
        .start()
}

fn near_melbourne(within_m: f64) -> serde_json::Value {
    let near = json!({"latitude": MELBOURNE.0, "longitude": MELBOURNE.1, "within_m": within_m});
    json!({"where": {"near": near}, "prefer": {"load": 0, "capacity": 0, "latency": 0}})
}

fn count_of(plan: &Plan, reason: RefusalName) -> u64 {
    plan.refused.iter().find(|refused| refused.reason == reason).map_or(0, |refused| refused.count)
}

fn a_task_goes_to_the_nearest_agent_that_may_take_it(kind: BrokerKind) {
    let cluster = three_cities(kind);
    let api = cluster.api;

    // All three are near enough; the nearest is the best.
    let id = api.submit(&with(task(noop()), near_melbourne(2_000_000.0)));
    let done = api.settled(&id);
    assert_eq!(done.summary.status, TaskStatus::Succeeded);
    let agent = |done: &shared::api::TaskDocument| done.assignments[0].agent.as_str().to_owned();
    assert_eq!(agent(&done), "melbourne");
    assert!(done.assignments[0].distance_m.is_some_and(|metres| metres < 1.0));

    // The nearest lacks the sensor; the next one is 64 km away.
    let sensing = json!({"where": {"labels": {"sensor": "pm25"}}});
    let spec = with(with(task(noop()), near_melbourne(100_000.0)), sensing);
    let plan = api.plan(&spec);
    assert_eq!(plan.chosen.as_ref().map(|id| id.as_str()), Some("geelong"));
    assert_eq!((plan.agents, plan.feasible), (3, 1));
    assert_eq!(count_of(&plan, RefusalName::TooFar), 1);
    assert_eq!(count_of(&plan, RefusalName::Label), 1);
    let id = api.submit(&spec);
    let done = api.settled(&id);
    assert_eq!(agent(&done), "geelong");
    let distance = done.assignments[0].distance_m.expect("a distance");
    assert!((60_000.0..70_000.0).contains(&distance), "{distance}");

    let explained = api.explain(&id).expect("an explanation");
    let placed = explained.placed.expect("the placement as it was decided");
    assert_eq!(placed.agent.as_str(), "geelong");
    assert_eq!(placed.distance_m, Some(distance));
    assert!(placed.terms.distance.is_some_and(|term| (0.5..0.7).contains(&term)), "{placed:?}");
    assert!(explained.summary.contains("geelong"), "{}", explained.summary);

    // A plan stores nothing.
    assert_eq!(api.tasks("").expect("tasks").len(), 2);
}

fn a_task_that_fits_nowhere_waits_with_reasons_until_it_fits(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind)
        .agent(AgentSetup::at("sydney", -33.8688, 151.2093))
        .agent(AgentSetup::at("melbourne", MELBOURNE.0, MELBOURNE.1).later())
        .start();
    let api = cluster.api;
    let spec = with(task(sh("echo here")), near_melbourne(50_000.0));
    let plan = api.plan(&spec);
    assert_eq!((plan.chosen.as_ref(), plan.feasible), (None, 0));
    let refused = &plan.refused[0];
    assert_eq!((refused.reason, refused.count), (RefusalName::TooFar, 1));
    let detail = &refused.examples[0].detail;
    assert!(detail.contains("713 km") && detail.contains("50 km"), "{detail}");

    let id = api.submit(&spec);
    let explained = eventually("an explanation of the wait", || {
        let explained = api.explain(&id)?;
        check(explained.plan.is_some(), || format!("{explained:?}"))?;
        Ok(explained)
    });
    assert_eq!(explained.status, TaskStatus::Pending);
    let plan = explained.plan.expect("a task that waits has a plan");
    assert_eq!(count_of(&plan, RefusalName::TooFar), 1);
    assert!(!explained.what_helps.is_empty());

    cluster.agent("melbourne").daemon.start();
    let done = api.settled(&id);
    assert_eq!(done.summary.status, TaskStatus::Succeeded);
    assert_eq!(done.assignments[0].agent.as_str(), "melbourne");

    // An operator's cordon is a reason too, and no secret.
    api.operate("melbourne", "cordon");
    let plan = api.plan(&spec);
    assert_eq!(count_of(&plan, RefusalName::Cordoned), 1);
    let id = api.submit(&spec);
    assert_eq!(api.task(&id).expect("the task").summary.status, TaskStatus::Pending);
    api.operate("melbourne", "uncordon");
    assert_eq!(api.settled(&id).summary.status, TaskStatus::Succeeded);
}

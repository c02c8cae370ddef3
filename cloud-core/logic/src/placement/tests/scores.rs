//! The score by hand: each term on figures that can be checked with pencil and paper.

use shared::api::Candidate;
use shared::capacity::Resources;
use shared::spec::{Preference, TaskSpec};

use super::super::{Policy, Weights, candidate};
use super::{agent, changed, melbourne, near, request, signal, sydney, task};
use crate::fleet::Agent;

fn scored(agent: &Agent, spec: &TaskSpec) -> Candidate {
    candidate(agent, &request(spec), &Policy::default())
}

#[track_caller]
fn close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
}

#[test]
fn load_is_the_worse_of_what_is_measured_and_what_is_reserved() {
    let load = |measured, used: Resources| {
        let agent = changed("a", |agent| {
            agent.signal = signal(measured, None);
            agent.used = used;
        });
        scored(&agent, &task(|_| {})).terms.load
    };
    close(load(0.25, Resources::default()), 0.75);
    // The scarcest resource: a quarter of the cpu, half of the disk.
    let used = Resources { cpu_millis: 1_000, disk_mib: 8_192, ..Resources::default() };
    close(load(0.25, used.clone()), 0.5);
    close(load(0.9, used), 0.1);
    // Devices are resources too.
    let cameras = Resources { devices: [("camera".to_owned(), 2)].into(), ..Resources::default() };
    close(load(0.0, cameras), 0.0);
    // More promised than there is: never below 0.
    close(load(0.0, Resources { cpu_millis: 9_000, ..Resources::default() }), 0.0);
}

#[test]
fn the_load_is_what_is_reserved_before_this_task() {
    let spec = task(|spec| spec.needs.cpu_millis = 4_000);
    close(scored(&agent("a"), &spec).terms.load, 1.0);
}

#[test]
fn capacity_is_the_mean_over_what_is_asked_for() {
    let busy = changed("a", |agent| agent.used.cpu_millis = 1_000);
    // (4000 - 1000 - 1000) / 4000 of the cpu, and nothing else asked for.
    let cpu = task(|spec| spec.needs.cpu_millis = 1_000);
    close(scored(&busy, &cpu).terms.capacity, 0.5);
    // And one of two cameras: the mean of 0.5 and 0.5; and all of the memory: of 0.5, 0.5 and 0.
    let mut more = cpu.clone();
    more.needs.devices.insert("camera".to_owned(), 1);
    close(scored(&busy, &more).terms.capacity, 0.5);
    more.needs.memory_mib = 4_096;
    close(scored(&busy, &more).terms.capacity, 1.0 / 3.0);
    // Nothing asked for: the mean of cpu (0.75) and memory (1).
    close(scored(&busy, &task(|_| {})).terms.capacity, 0.875);
    let mut none = task(|_| {});
    none.needs.devices.insert("gpu".to_owned(), 0);
    close(scored(&busy, &none).terms.capacity, 0.875);
}

#[test]
fn packing_turns_the_capacity_term_round() {
    let packing = Policy { packing: true, ..Policy::default() };
    let busy = changed("b", |agent| agent.used.cpu_millis = 3_000);
    let spec = task(|spec| spec.needs.cpu_millis = 1_000);
    close(candidate(&busy, &request(&spec), &packing).terms.capacity, 1.0);
    close(candidate(&agent("a"), &request(&spec), &packing).terms.capacity, 0.25);
}

#[test]
fn distance_halves_at_its_reference_and_drops_out_without_a_point() {
    let there = scored(&agent("a"), &task(|spec| spec.place.near = near(melbourne(), None)));
    assert_eq!((there.terms.distance, there.distance_m), (Some(1.0), Some(0.0)));

    let distance_m = shared::geo::distance_m(melbourne(), sydney());
    let policy = Policy { distance_m_ref: distance_m, ..Policy::default() };
    let spec = task(|spec| spec.place.near = near(sydney(), None));
    let far = candidate(&agent("a"), &request(&spec), &policy);
    assert_eq!((far.terms.distance, far.distance_m), (Some(0.5), Some(distance_m)));

    let lost = changed("a", |agent| agent.facts.position = None);
    let unknown = scored(&lost, &spec);
    assert_eq!((unknown.terms.distance, unknown.distance_m), (Some(0.0), None));

    let anywhere = scored(&agent("a"), &task(|_| {}));
    assert_eq!((anywhere.terms.distance, anywhere.distance_m), (None, None));
    // load 1, capacity 1, latency 1 / 1.2: (30 + 40 + 10 / 1.2) / 80, the weight of 20 gone too.
    close(anywhere.score, (70.0 + 10.0 / 1.2) / 80.0);
}

#[test]
fn latency_halves_at_its_reference_and_is_nothing_when_unknown() {
    let latency = |rtt_ms| {
        let agent = changed("a", |agent| agent.signal = signal(0.0, rtt_ms));
        scored(&agent, &task(|_| {})).terms.latency
    };
    close(latency(Some(0.0)), 1.0);
    close(latency(Some(50.0)), 0.5);
    close(latency(Some(150.0)), 0.25);
    close(latency(None), 0.0);
}

#[test]
fn weights_come_from_the_task_term_by_term_else_from_the_policy() {
    let busy = changed("a", |agent| agent.signal = signal(1.0, None));
    // load 0, capacity 1, latency 0.
    close(scored(&busy, &task(|_| {})).score, 40.0 / 80.0);
    let prefer = Preference { load: Some(120), ..Preference::default() };
    close(scored(&busy, &task(|spec| spec.prefer = prefer)).score, 40.0 / 170.0);
    let policy = Policy {
        weights: Weights { load: 1, capacity: 1, distance: 100, latency: 0 },
        ..Policy::default()
    };
    close(candidate(&busy, &request(&task(|_| {})), &policy).score, 0.5);
}

#[test]
fn without_any_weight_every_agent_scores_nothing() {
    let prefer =
        Preference { load: Some(0), capacity: Some(0), latency: Some(0), ..Preference::default() };
    // The distance has a weight, but no point to be near.
    let spec = task(|spec| spec.prefer = prefer);
    assert_eq!(scored(&agent("a"), &spec).score, 0.0);
}

#[test]
fn an_agent_with_nothing_scores_within_bounds() {
    let hollow = changed("a", |agent| agent.facts.capacity = Resources::default());
    let scored = scored(&hollow, &task(|_| {}));
    close(scored.terms.load, 1.0);
    close(scored.terms.capacity, 0.0);
}

#[test]
fn a_policy_that_makes_no_sense_is_told_everything_and_harms_nothing() {
    let broken = Policy {
        weights: Weights { load: 0, capacity: 0, distance: 0, latency: 0 },
        distance_m_ref: f64::NAN,
        latency_ms_ref: 0.0,
        ..Policy::default()
    };
    let problems = broken.check().expect_err("makes no sense");
    let pointers: Vec<&str> = problems.iter().map(|problem| problem.pointer.as_str()).collect();
    assert_eq!(pointers, ["/distance_m_ref", "/latency_ms_ref", "/weights"]);
    let heavy =
        Policy { weights: Weights { load: 1_001, ..Weights::default() }, ..Policy::default() };
    assert_eq!(heavy.check().expect_err("too heavy")[0].pointer, "/weights/load");
    assert_eq!(Policy::default().check(), Ok(()));

    let spec = task(|spec| spec.place.near = near(sydney(), None));
    let scored = candidate(&agent("a"), &request(&spec), &broken);
    assert_eq!((scored.score, scored.terms.distance, scored.terms.latency), (0.0, Some(0.0), 0.0));
}

#[test]
fn a_policy_is_read_with_its_defaults() {
    let read = |text| serde_json::from_str::<Policy>(text);
    let policy = read(r#"{"version": 7, "weights": {"load": 1}}"#).expect("a policy");
    assert_eq!((policy.version, policy.weights), (7, Weights { load: 1, ..Weights::default() }));
    assert_eq!(policy.distance_m_ref, 100_000.0);
    assert_eq!(read("{}").expect("a policy"), Policy::default());
    assert!(read(r#"{"wieghts": {}}"#).is_err());
}

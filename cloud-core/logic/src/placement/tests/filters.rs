//! One test per filter, named after it: who is refused, who is not, the figures, and whether
//! waiting can help.

use shared::api::{AgentStatus, RefusalName};
use shared::label::{Expression, Operator};
use shared::spec::{Exec, Run, TaskSpec};
use shared::time::Timestamp;

use super::super::detail::detail;
use super::super::{Policy, Refusal, Request, is_feasible, refusals};
use super::{agent, area, changed, id, melbourne, near, request, signal, sydney, task};
use crate::fleet::Agent;

/// The agent may take the task.
#[track_caller]
fn passes(agent: &Agent, spec: &TaskSpec) {
    assert_eq!(refusals(agent, &request(spec), &Policy::default()), []);
    assert!(is_feasible(agent, &request(spec), &Policy::default()));
}

/// The agent is refused for this reason and no other; gives the sentence and whether waiting can
/// help.
#[track_caller]
fn refused(agent: &Agent, request: &Request<'_>, name: RefusalName) -> (String, bool) {
    assert!(!is_feasible(agent, request, &Policy::default()));
    let found = refusals(agent, request, &Policy::default());
    let [refusal] = &found[..] else { panic!("not one refusal: {found:?}") };
    assert_eq!(refusal.name(), name);
    (detail(refusal, agent, request), refusal.waiting_helps())
}

#[track_caller]
fn says(told: (String, bool), sentence: &str, waiting_helps: bool) {
    assert_eq!(told, (sentence.to_owned(), waiting_helps));
}

#[test]
fn an_ordinary_agent_takes_an_ordinary_task() {
    passes(&agent("a"), &task(|_| {}));
}

#[test]
fn offline() {
    let spec = task(|_| {});
    let mut gone = changed("a", |agent| agent.status = AgentStatus::Offline);
    let told = refused(&gone, &request(&spec), RefusalName::Offline);
    says(told, "offline, not heard yet", true);
    gone.last_seen = Some(Timestamp(0));
    let told = refused(&gone, &request(&spec), RefusalName::Offline);
    says(told, "offline, last heard 1970-01-01T00:00:00.000Z", true);
}

#[test]
fn suspect() {
    let spec = task(|_| {});
    let late = changed("a", |agent| agent.status = AgentStatus::Suspect);
    let told = refused(&late, &request(&spec), RefusalName::Suspect);
    says(told, "its heartbeats are late or it has just come back, not heard yet", true);
}

#[test]
fn cordoned() {
    let spec = task(|_| {});
    let agent = changed("a", |agent| agent.flags.cordoned = true);
    let told = refused(&agent, &request(&spec), RefusalName::Cordoned);
    says(told, "cordoned: it takes nothing new", false);
}

#[test]
fn draining() {
    let spec = task(|_| {});
    let agent = changed("a", |agent| agent.flags.draining = true);
    let told = refused(&agent, &request(&spec), RefusalName::Draining);
    says(told, "draining: it is being emptied and takes nothing new", false);
}

#[test]
fn quarantined() {
    let spec = task(|_| {});
    let agent = changed("a", |agent| agent.flags.quarantined = true);
    let told = refused(&agent, &request(&spec), RefusalName::Quarantined);
    says(told, "quarantined: it has failed too often", false);
}

#[test]
fn not_listed() {
    let spec = task(|spec| spec.place.agents = vec![id("b"), id("c")]);
    passes(&agent("c"), &spec);
    let told = refused(&agent("a"), &request(&spec), RefusalName::NotListed);
    says(told, "not among the 2 agents that the task lists", false);
}

#[test]
fn avoided() {
    let spec = task(|spec| spec.place.avoid_agents = vec![id("b")]);
    passes(&agent("a"), &spec);
    let told = refused(&agent("b"), &request(&spec), RefusalName::Avoided);
    says(told, "the task avoids it", false);
    let again = Request { avoid: &[id("a"), id("b")], ..Request::of(&spec) };
    let told = refused(&agent("a"), &again, RefusalName::Avoided);
    says(told, "it has just refused this task", true);
    // The user's word outlasts the agent's.
    assert!(!refused(&agent("b"), &again, RefusalName::Avoided).1);
}

#[test]
fn arch() {
    let asked = |arch: &[&str]| {
        task(|spec| spec.place.arch = arch.iter().map(|&arch| arch.to_owned()).collect())
    };
    passes(&agent("a"), &asked(&["x86_64", "aarch64"]));
    let told = refused(&agent("a"), &request(&asked(&["x86_64", "arm"])), RefusalName::Arch);
    says(told, "its architecture is aarch64, x86_64 or arm asked for", false);
}

#[test]
fn label() {
    let asked = |key: &str, value: &str| {
        task(|spec| spec.place.labels = [(key.to_owned(), value.to_owned())].into())
    };
    passes(&agent("a"), &asked("os", "debian"));
    let told = refused(&agent("a"), &request(&asked("os", "alpine")), RefusalName::Label);
    says(told, "os is debian, alpine asked for", false);
    let mut both = asked("os", "debian");
    both.place.labels.insert("sensor".to_owned(), "pm25".to_owned());
    let told = refused(&agent("a"), &request(&both), RefusalName::Label);
    says(told, "no label sensor, pm25 asked for", false);
}

#[test]
fn expression() {
    let asked = |op, values: &[&str]| {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        let expression = Expression { key: "os".to_owned(), op, values };
        task(|spec| spec.place.expressions.push(expression))
    };
    passes(&agent("a"), &asked(Operator::In, &["debian", "ubuntu"]));
    passes(&agent("a"), &asked(Operator::Exists, &[]));
    let spec = asked(Operator::In, &["alpine"]);
    let told = refused(&agent("a"), &request(&spec), RefusalName::Expression);
    says(told, "`os in (alpine)` does not hold, os is debian", false);
    let mut spec = asked(Operator::NotExists, &[]);
    spec.place.expressions.extend(asked(Operator::Exists, &[]).place.expressions);
    let told = refused(&agent("a"), &request(&spec), RefusalName::Expression);
    says(told, "`os does not exist` does not hold, os is debian", false);
}

#[test]
fn taint() {
    let tainted = changed("a", |agent| {
        agent.facts.taints = vec!["maintenance-window".to_owned(), "noisy".to_owned()];
    });
    let tolerating = |taints: &[&str]| {
        task(|spec| spec.place.tolerate = taints.iter().map(|&taint| taint.to_owned()).collect())
    };
    passes(&tainted, &tolerating(&["noisy", "other", "maintenance-window"]));
    passes(&agent("a"), &tolerating(&["noisy"]));
    let told = refused(&tainted, &request(&tolerating(&["noisy"])), RefusalName::Taint);
    says(told, "its taint maintenance-window is not tolerated", false);
}

#[test]
fn region() {
    let spec = task(|spec| spec.place.regions = vec!["eu-west".to_owned(), "eu-north".to_owned()]);
    passes(&changed("a", |agent| agent.facts.region = Some("eu-north".to_owned())), &spec);
    let told = refused(&agent("a"), &request(&spec), RefusalName::Region);
    says(told, "its region is au-south, eu-west or eu-north asked for", false);
    let nowhere = changed("a", |agent| agent.facts.region = None);
    let told = refused(&nowhere, &request(&spec), RefusalName::Region);
    says(told, "it has no region, eu-west or eu-north asked for", false);
}

#[test]
fn too_far() {
    let spec = task(|spec| spec.place.near = near(sydney(), Some(50_000.0)));
    let told = refused(&agent("a"), &request(&spec), RefusalName::TooFar);
    says(told, "713 km away, at most 50 km allowed", false);
    // The limit itself is near enough, a millimetre less is not.
    let distance_m = shared::geo::distance_m(melbourne(), sydney());
    passes(&agent("a"), &task(|spec| spec.place.near = near(sydney(), Some(distance_m))));
    let spec = task(|spec| spec.place.near = near(sydney(), Some(distance_m - 0.001)));
    refused(&agent("a"), &request(&spec), RefusalName::TooFar);
    // Without a limit, near only ranks.
    passes(&agent("a"), &task(|spec| spec.place.near = near(sydney(), None)));
}

#[test]
fn outside_area() {
    let spec = task(|spec| spec.place.area = Some(area(150.0, -35.0, 152.0, -33.0)));
    passes(&changed("a", |agent| agent.facts.position = Some(sydney())), &spec);
    let told = refused(&agent("a"), &request(&spec), RefusalName::OutsideArea);
    says(told, "at -37.81360, 144.96310, outside the area", false);
}

#[test]
fn no_position() {
    let lost = changed("a", |agent| agent.facts.position = None);
    let told = ("where it is nobody knows".to_owned(), false);
    let within = task(|spec| spec.place.near = near(sydney(), Some(1e7)));
    assert_eq!(refused(&lost, &request(&within), RefusalName::NoPosition), told);
    let inside = task(|spec| spec.place.area = Some(area(150.0, -35.0, 152.0, -33.0)));
    assert_eq!(refused(&lost, &request(&inside), RefusalName::NoPosition), told);
    passes(&lost, &task(|spec| spec.place.near = near(sydney(), None)));
    passes(&lost, &task(|_| {}));
}

#[test]
fn latency_too_high() {
    let spec = task(|spec| spec.place.latency_ms_max = Some(40.0));
    passes(&changed("a", |agent| agent.signal = signal(0.0, Some(40.0))), &spec);
    let slow = changed("a", |agent| agent.signal = signal(0.0, Some(52.34)));
    let told = refused(&slow, &request(&spec), RefusalName::LatencyTooHigh);
    says(told, "52.3 ms round trip, at most 40 ms allowed", true);
}

#[test]
fn latency_unknown() {
    let unmeasured = changed("a", |agent| agent.signal = signal(0.0, None));
    passes(&unmeasured, &task(|_| {}));
    let spec = task(|spec| spec.place.latency_ms_max = Some(40.0));
    let told = refused(&unmeasured, &request(&spec), RefusalName::LatencyUnknown);
    says(told, "its round trip is not measured yet, at most 40 ms allowed", true);
}

#[test]
fn cpu() {
    let busy = changed("a", |agent| agent.used.cpu_millis = 3_800);
    passes(&busy, &task(|spec| spec.needs.cpu_millis = 200));
    let spec = task(|spec| spec.needs.cpu_millis = 500);
    let told = refused(&busy, &request(&spec), RefusalName::Cpu);
    says(told, "needs 500 cpu_millis, 200 free of 4000", true);
    let spec = task(|spec| spec.needs.cpu_millis = 4_001);
    let told = refused(&busy, &request(&spec), RefusalName::Cpu);
    says(told, "needs 4001 cpu_millis, 200 free of 4000", false);
    // What is not asked for never stands in the way, even where too much is promised already.
    passes(&changed("a", |agent| agent.used.cpu_millis = 9_999), &task(|_| {}));
}

#[test]
fn memory() {
    let busy = changed("a", |agent| agent.used.memory_mib = 4_000);
    passes(&busy, &task(|spec| spec.needs.memory_mib = 96));
    let spec = task(|spec| spec.needs.memory_mib = 128);
    let told = refused(&busy, &request(&spec), RefusalName::Memory);
    says(told, "needs 128 memory_mib, 96 free of 4096", true);
}

#[test]
fn disk() {
    let small = changed("a", |agent| agent.facts.capacity.disk_mib = 0);
    passes(&small, &task(|_| {}));
    let spec = task(|spec| spec.needs.disk_mib = 1);
    let told = refused(&small, &request(&spec), RefusalName::Disk);
    says(told, "needs 1 disk_mib, has none", false);
}

#[test]
fn bandwidth() {
    let busy = changed("a", |agent| agent.used.bandwidth_kbps = 99_999);
    passes(&busy, &task(|spec| spec.needs.bandwidth_kbps = 1));
    let spec = task(|spec| spec.needs.bandwidth_kbps = 2);
    let told = refused(&busy, &request(&spec), RefusalName::Bandwidth);
    says(told, "needs 2 bandwidth_kbps, 1 free of 100000", true);
}

#[test]
fn device() {
    let asked = |devices: &[(&str, u32)]| {
        let devices = devices.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        task(|spec| spec.needs.devices = devices)
    };
    let busy = changed("a", |agent| {
        agent.used.devices.insert("camera".to_owned(), 1);
    });
    passes(&busy, &asked(&[("camera", 1), ("gpu", 0)]));
    let told = refused(&busy, &request(&asked(&[("camera", 2)])), RefusalName::Device);
    says(told, "needs 2 camera, 1 free of 2", true);
    // One that will never be there outweighs one that will.
    let spec = asked(&[("camera", 2), ("gpu", 1)]);
    let told = refused(&busy, &request(&spec), RefusalName::Device);
    says(told, "needs 2 camera, 1 free of 2; needs 1 gpu, has none", false);
}

#[test]
fn runtime() {
    let exec = task(|spec| spec.run = Run::Exec(Exec::default()));
    passes(&agent("a"), &exec);
    let plain = changed("a", |agent| agent.facts.runtimes = vec!["noop".to_owned()]);
    let told = refused(&plain, &request(&exec), RefusalName::Runtime);
    says(told, "it cannot run `exec`, it knows noop", false);
}

#[test]
fn slots() {
    let spec = task(|_| {});
    passes(&changed("a", |agent| agent.assignments = 3), &spec);
    let full = changed("a", |agent| agent.assignments = 4);
    let told = refused(&full, &request(&spec), RefusalName::Slots);
    says(told, "holds 4 assignments, at most 4 at once", true);
    let closed = changed("a", |agent| agent.facts.tasks_max = 0);
    let told = refused(&closed, &request(&spec), RefusalName::Slots);
    says(told, "it is set to take no assignments", false);
}

#[test]
fn every_reason_against_an_agent_is_told() {
    let hopeless = changed("a", |agent| {
        agent.status = AgentStatus::Offline;
        agent.flags.cordoned = true;
        agent.flags.draining = true;
        agent.facts.arch = "arm".to_owned();
    });
    let spec = task(|spec| {
        spec.place.arch = vec!["aarch64".to_owned()];
        spec.place.near = near(sydney(), Some(1.0));
        spec.needs.cpu_millis = 5_000;
    });
    let mut names: Vec<RefusalName> = refusals(&hopeless, &request(&spec), &Policy::default())
        .iter()
        .map(Refusal::name)
        .collect();
    names.sort();
    let expected = [
        RefusalName::Offline,
        RefusalName::Cordoned,
        RefusalName::Draining,
        RefusalName::Arch,
        RefusalName::TooFar,
        RefusalName::Cpu,
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_filter_that_is_off_refuses_nobody() {
    let stranger = changed("a", |agent| {
        agent.facts.region = Some("eu-north".to_owned());
        agent.facts.position = Some(sydney());
        agent.signal = signal(0.0, Some(90.0));
    });
    let unknown = changed("b", |agent| {
        agent.facts.region = None;
        agent.facts.position = None;
        agent.signal = signal(0.0, None);
    });
    let spec = task(|spec| {
        spec.place.regions = vec!["au-south".to_owned()];
        spec.place.near = near(melbourne(), Some(1_000.0));
        spec.place.area = Some(area(144.0, -38.0, 146.0, -37.0));
        spec.place.latency_ms_max = Some(40.0);
    });
    let refused = |agent: &Agent, off: &[&str]| -> Vec<&str> {
        let mut policy = Policy::default();
        for (name, on) in policy.filters.named_mut() {
            *on = !off.contains(&name);
        }
        let found = refusals(agent, &request(&spec), &policy);
        assert_eq!(is_feasible(agent, &request(&spec), &policy), found.is_empty());
        found.iter().map(|one| one.name().name()).collect()
    };
    let all = ["latency_too_high", "region", "too_far", "outside_area"];
    assert_eq!(refused(&stranger, &[]), all);
    for off in all {
        let rest: Vec<&str> = all.into_iter().filter(|name| *name != off).collect();
        assert_eq!(refused(&stranger, &[off]), rest);
    }
    assert_eq!(refused(&stranger, &all), [""; 0]);
    // Where an agent is does not matter only when neither limit that asks for it is on.
    assert_eq!(refused(&unknown, &[]), ["latency_unknown", "no_position", "region"]);
    let off = ["region", "too_far", "latency_too_high"];
    assert_eq!(refused(&unknown, &off), ["latency_unknown", "no_position"]);
    assert_eq!(
        refused(&unknown, &["region", "latency_unknown", "too_far", "outside_area"]),
        [""; 0]
    );
}

//! The power goes everywhere at one instant: the core, the broker, the agents, the supervisors and
//! the tasks die, and nobody sees anybody else die. Then all of it starts again.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::builder::{BROKER_HOST, CORE_HOST};
use tests::evidence::Traces;
use tests::spec::{task, with};
use tests::{Api, BrokerKind, ClusterBuilder, Evidence};

use super::{Site, site};

tests::on_both_brokers!(after_a_power_cut_every_acknowledged_task_settles_once);

/// Submits until it is over; the ids that were acknowledged.
fn submit_until(over: &AtomicBool, api: Api, evidence: &Evidence) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // Some are over at once, some are cut off in the middle.
        let nap_s = ["0", "0.1", "1"][number % 3];
        let quick = json!({"retry": {"delay_s": 1}});
        let spec = with(task(evidence.run(&format!("sleep {nap_s}"))), quick);
        // What was not answered may be there or not; nobody was promised anything.
        if let Ok(answer) = api.try_submit(&spec, None)
            && answer.status == 201
        {
            acknowledged.push(answer.json()["id"].as_str().expect("an id").to_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    acknowledged
}

fn start_all_again(site: &mut Site, names: &[&str]) {
    site.cluster.core.daemon.kill();
    if let Some(broker) = &mut site.cluster.broker {
        broker.daemon().kill();
    }
    for agent in &mut site.cluster.agents {
        agent.daemon.kill();
    }
    for name in names {
        site.hosts.host(name).reboot();
    }
    site.cluster.start();
}

fn after_a_power_cut_every_acknowledged_task_settles_once(kind: BrokerKind) {
    let Some(mut site) = site(ClusterBuilder::new(kind).agents(3)) else {
        return;
    };
    let mut names = vec![CORE_HOST, "a", "b", "c"];
    names.extend((kind == BrokerKind::Mosquitto).then_some(BROKER_HOST));
    let acknowledged = Mutex::new(Vec::new());
    for _ in 0..2 {
        let (api, over) = (site.cluster.api, AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let ids = submit_until(&over, api, &site.cluster.evidence);
                acknowledged.lock().expect("no panic").extend(ids);
            });
            std::thread::sleep(Duration::from_millis(2_500));
            site.hosts.power_cut(&names);
            over.store(true, Ordering::Relaxed);
        });
        start_all_again(&mut site, &names);
    }
    let acknowledged = acknowledged.into_inner().expect("no panic");
    let api = site.cluster.api;
    site.cluster.wait_until_idle();
    let there: BTreeSet<String> =
        api.tasks("").expect("tasks").into_iter().map(|task| task.id.to_string()).collect();
    let mut attempts = 0;
    for id in &acknowledged {
        assert!(there.contains(id), "{id} was acknowledged and is gone");
        let done = api.settled(id);
        let brief = in_brief(&done);
        assert_eq!(done.summary.status, TaskStatus::Succeeded, "{brief}");
        let attempt = done.outcome.as_ref().and_then(|outcome| outcome.attempt).expect("one").0;
        assert_eq!(site.cluster.evidence.of(id, attempt), Traces { starts: 1, ends: 1 }, "{brief}");
        attempts += done.assignments.len();
    }
    assert_eq!(site.cluster.evidence.doubled(), []);
    let traces = site.cluster.evidence.traces();
    let broken_off = traces.values().filter(|trace| trace.ends < trace.starts).count();
    assert!(broken_off > 0, "nothing ran when the power went");
    println!(
        "{} acknowledged and {} in all, in {attempts} attempts, {broken_off} broken off by two \
         power cuts",
        acknowledged.len(),
        there.len()
    );
}

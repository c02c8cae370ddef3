//! What happens is told to those who follow: every event once, across the death of the core.

use std::collections::BTreeMap;

use shared::api::{EventDocument, EventKind};
use tests::events::Follower;
use tests::spec::{noop, task};
use tests::{BrokerKind, ClusterBuilder};

tests::on_both_brokers!(a_follower_misses_nothing_when_the_core_is_killed);

/// Reads until so many tasks are settled, or the core is gone.
fn read(follower: &mut Follower, settled: usize, events: &mut Vec<EventDocument>) {
    let of = |events: &[EventDocument]| {
        events.iter().filter(|event| event.kind == EventKind::TaskSettled).count()
    };
    while of(events) < settled {
        match follower.next_event() {
            Ok(event) => events.push(event),
            Err(_) => return,
        }
    }
}

fn a_follower_misses_nothing_when_the_core_is_killed(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(2).start();
    let api = cluster.api;
    let mut follower = Follower::connect(api.address, "", None).expect("it is heard");
    let mut events = Vec::new();
    let mut ids: Vec<String> = (0..10).map(|_| api.submit(&task(noop()))).collect();
    read(&mut follower, 10, &mut events);
    // What is on its way when the core dies is told by the next one.
    ids.extend((0..20).map(|_| api.submit(&task(noop()))));
    cluster.core.daemon.kill();
    read(&mut follower, usize::MAX, &mut events);
    cluster.core.start();
    cluster.core.wait_until_ready();
    ids.extend((0..5).map(|_| api.submit(&task(noop()))));

    let last = events.last().map(|event| event.id);
    let mut follower = Follower::connect(api.address, "", last).expect("it is heard again");
    read(&mut follower, ids.len(), &mut events);
    assert!(events.iter().all(|event| event.kind != EventKind::Gap), "{events:?}");
    for two in events.windows(2) {
        assert_eq!(two[0].id + 1, two[1].id, "every event once and in order: {two:?}");
    }
    let mut told: BTreeMap<String, Vec<EventKind>> = BTreeMap::new();
    for event in &events {
        if let Some(task) = event.task {
            told.entry(task.to_string()).or_default().push(event.kind);
        }
    }
    for id in &ids {
        let kinds = &told[id];
        assert_eq!(kinds.first(), Some(&EventKind::TaskSubmitted), "{kinds:?}");
        assert_eq!(kinds.last(), Some(&EventKind::TaskSettled), "{kinds:?}");
        let settled = kinds.iter().filter(|kind| **kind == EventKind::TaskSettled).count();
        assert_eq!(settled, 1, "{kinds:?}");
    }
}

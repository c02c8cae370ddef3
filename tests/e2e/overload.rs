//! More than the core can hold: it says so, and what it did take it keeps.

use std::sync::Mutex;

use serde_json::json;
use tests::spec::{noop, task, with};
use tests::{BrokerKind, ClusterBuilder};

/// The most tasks that may wait.
const PENDING_MAX: u64 = 400;
/// Who storms, and how often each submits.
const CLIENTS: usize = 40;
const EACH: usize = 30;

#[test]
fn a_storm_is_refused_in_words_and_nothing_acknowledged_is_lost() {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).pending_max(PENDING_MAX).start();
    let api = cluster.api;
    let taken = Mutex::new(Vec::new());
    let refused = Mutex::new(0_usize);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (taken, refused) = (&taken, &refused);
            scope.spawn(move || {
                for number in 0..EACH {
                    let spec = with(task(noop()), json!({"name": format!("{client}-{number}")}));
                    let answer = api.try_submit(&spec, None).expect("every request is answered");
                    match answer.status {
                        201 => {
                            let id = answer.json()["id"].as_str().expect("an id").to_owned();
                            taken.lock().expect("no panic").push(id);
                        }
                        429 | 503 => {
                            let after = answer.header("retry-after").map(str::parse::<u64>);
                            assert!(matches!(after, Some(Ok(1..))), "{answer}");
                            *refused.lock().expect("no panic") += 1;
                        }
                        other => panic!("{other}: {answer}"),
                    }
                }
            });
        }
    });
    let mut taken = taken.into_inner().expect("no panic");
    let refused = refused.into_inner().expect("no panic");
    println!("{} taken, {refused} refused", taken.len());
    assert_eq!(taken.len() + refused, CLIENTS * EACH);
    assert_eq!(taken.len() as u64, PENDING_MAX, "as many as may wait are taken, and no more");

    cluster.restart_core();
    let mut there: Vec<String> =
        api.tasks("").expect("tasks").into_iter().map(|task| task.id.to_string()).collect();
    taken.sort();
    there.sort();
    assert_eq!(there, taken, "what was acknowledged is there, and nothing else");

    // Still full after the restart, and room again once one has gone.
    let spec = task(noop());
    assert_eq!(api.try_submit(&spec, None).expect("an answer").status, 429);
    api.cancel(&taken[0]);
    assert_eq!(api.try_submit(&spec, None).expect("an answer").status, 201);
}

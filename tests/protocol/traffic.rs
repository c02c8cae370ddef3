//! Real traffic against the schemas: everything that whole simulated worlds say, with restarts,
//! lost boards, backups and clones, is what the document says it is.

use std::collections::BTreeMap;

use serde_json::Value;
use simulator::{runs, wiretap};

use crate::asyncapi::Described;

/// Worlds to listen to. Fixed: what they say does not change from run to run.
const SEEDS: std::ops::RangeInclusive<u64> = 1..=25;

#[test]
fn everything_that_worlds_say_is_described() {
    let described = Described::get();
    let mut said: BTreeMap<String, u64> = BTreeMap::new();
    for seed in SEEDS {
        let (run, heard) = wiretap::listen(|| runs::seed(seed));
        assert!(run.failure.is_none(), "seed {seed}: {:?}", run.failure);
        for message in heard {
            let body: Value = serde_json::from_slice(&message.body).expect("JSON");
            match described.check(message.up, &body) {
                Ok(name) => *said.entry(name).or_default() += 1,
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
    }
    println!("{said:#?}");
    let silent: Vec<&String> = described.kinds().filter(|kind| !said.contains_key(*kind)).collect();
    assert!(silent.is_empty(), "never said: {silent:?}");
}

//! Tasks of all kinds, submitted as a careful client does: each with a key, again and again until
//! it is acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::spec::{noop, task, with};
use tests::{Api, Evidence, PATIENCE, Random};

/// What a task must come to, unless it was lost with its agents too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It succeeds.
    Success,
    /// It fails with this exit code.
    Exit(i32),
    /// It was called off; it may have been too late.
    Any,
}

/// A submission that was acknowledged.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The task.
    pub id: String,
    /// What must become of it.
    pub expected: Expected,
    /// Whether its attempts leave evidence.
    pub leaves_evidence: bool,
}

/// Makes tasks and submits them.
#[derive(Debug)]
pub struct Flow {
    api: Api,
    evidence: Evidence,
    repeated: AtomicU64,
}

impl Flow {
    pub fn new(api: Api, evidence: Evidence) -> Self {
        Self { api, evidence, repeated: AtomicU64::new(0) }
    }

    /// How often a submission had to be sent again.
    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }

    /// One client: submits at random moments.
    pub fn submit_until(&self, until: Instant, client: u64, mut random: Random) -> Vec<Submitted> {
        let mut submitted = Vec::new();
        let mut said: Vec<(String, Value, String)> = Vec::new();
        while Instant::now() < until {
            if !said.is_empty() && random.between(1, 10) == 1 {
                // A client that has lost its own notes says again what it said long ago.
                let (key, spec, first) = random.pick(&said);
                assert_eq!(self.submit(spec, key), *first, "{key} made another task");
                self.repeated.fetch_add(1, Ordering::Relaxed);
            }
            let key = format!("client-{client}-task-{}", submitted.len());
            let (spec, expected) = self.make(&mut random);
            if random.between(1, 10) == 1 {
                // The network fails while the answer is on its way: nobody knows whether it was
                // taken.
                let _ = self.api.submit_and_leave(&spec, &key);
                self.repeated.fetch_add(1, Ordering::Relaxed);
            }
            let id = self.submit(&spec, &key);
            if expected == Expected::Any {
                // Whether it is heard does not matter: an operator gives up too.
                let path = format!("/v1/tasks/{id}/cancel");
                let _ = self.api.request("POST", &path, None);
            }
            let leaves_evidence = spec["run"]["exec"]["command"] == "/bin/sh";
            said.push((key, spec, id.clone()));
            submitted.push(Submitted { id, expected, leaves_evidence });
            std::thread::sleep(Duration::from_millis(random.between(20, 200)));
        }
        submitted
    }

    /// Sends it until it is acknowledged. The core may have taken it before it died: the key makes
    /// sure that it is the same task.
    fn submit(&self, spec: &Value, key: &str) -> String {
        let begun = Instant::now();
        loop {
            let last = match self.api.try_submit(spec, Some(key)) {
                Ok(answer) => match answer.status {
                    200 | 201 => {
                        return answer.json()["id"].as_str().expect("a task has an id").to_owned();
                    }
                    429 | 503 => answer.to_string(),
                    _ => panic!("{key} was answered with {answer}"),
                },
                Err(error) => error.to_string(),
            };
            assert!(begun.elapsed() < PATIENCE, "{key} was never acknowledged; last: {last}");
            self.repeated.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn make(&self, random: &mut Random) -> (Value, Expected) {
        let evidence = |script: &str| task(self.evidence.run(script));
        let sleep = |random: &mut Random| format!("sleep {}", random.between(1, 30) as f64 / 10.0);
        let (spec, expected) = match random.between(1, 20) {
            1..=3 => (task(noop()), Expected::Success),
            4..=5 => (task(json!({"exec": {"command": "/bin/true"}})), Expected::Success),
            6..=9 => (evidence("true"), Expected::Success),
            10..=12 => (evidence("exit 3"), Expected::Exit(3)),
            13..=18 => (evidence(&sleep(random)), Expected::Success),
            // Long enough to be caught by what dies, and called off.
            _ => (evidence("sleep 30"), Expected::Any),
        };
        let retry = json!({"retry": {"attempts_max": 1, "delay_s": 1, "delay_s_max": 2}});
        let lost_after_s = *random.pick(&[1, 1, 2, 5, 60]);
        let disconnect = json!({"disconnect": {"lost_after_s": lost_after_s}});
        let needs = json!({"needs": {"cpu_millis": random.between(0, 200)}});
        (with(with(with(spec, retry), disconnect), needs), expected)
    }
}

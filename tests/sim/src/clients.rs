//! Those who submit work: each asks under a key of its own until it has an answer, as a careful
//! client does; and what they submit, of every kind that the logic tells apart.

use std::sync::Arc;

use cloud_core_logic::change::IdempotencyKey;
use cloud_core_logic::{Input, ReplyTo, Submission};
use shared::capacity::Resources;
use shared::id::TaskId;
use shared::spec::{Disconnect, Exec, Retry, Run, TaskSpec};
use uuid::Uuid;

use crate::world::{Event, World};

/// One submission and who waits for it.
#[derive(Debug)]
pub struct Client {
    pub spec: Arc<TaskSpec>,
    /// Its task, once it was told that it is taken on.
    pub task: Option<TaskId>,
    pub asks_again_ms: u64,
}

impl World {
    pub fn new_work(&mut self) {
        if !self.chaos {
            return;
        }
        let next_ms = self.chance.between(1, 2 * self.plan.submit_every_ms);
        self.after(next_ms, Event::Work);
        let batch = if self.chance.percent(10) { self.chance.between(2, 6) } else { 1 };
        for _ in 0..batch {
            self.submit_one();
        }
    }

    pub fn submit_one(&mut self) {
        let spec = Arc::new(self.make_spec());
        self.clients.push(Client { spec, task: None, asks_again_ms: 0 });
        self.after(0, Event::Client { index: self.clients.len() - 1 });
    }

    /// Asks, and asks again while there is no answer. The driver looks into the store first.
    pub fn client_asks(&mut self, index: usize) {
        if self.clients[index].task.is_some() {
            return;
        }
        let again_ms = self.chance.between(50, 6_000);
        self.after(again_ms, Event::Client { index });
        if self.core.cloud.is_none() || self.now_ms < self.clients[index].asks_again_ms {
            return;
        }
        let key = format!("key-{index}");
        if let Some(task) = self.core.maps.keys.get(&key).copied() {
            self.coverage.count("submission repeated");
            self.clients[index].task = Some(task);
            self.acknowledged.insert(task);
            return;
        }
        // A UUIDv7: its first 48 bits are the time.
        let time =
            u128::try_from(crate::world::EPOCH_MS).expect("positive") + u128::from(self.now_ms);
        let rest = self.chance.uuid().as_u128() >> 48;
        let id = TaskId(Uuid::from_u128(time << 80 | rest));
        let spec = Arc::clone(&self.clients[index].spec);
        self.note(|_| format!("client {index} submits {id}: {spec:?}"));
        let key = Some(IdempotencyKey { key, body_hash: index.to_string() });
        let reply = ReplyTo(index as u64);
        self.tell_core(Input::Submit(Box::new(Submission { id, spec, key, reply })));
    }

    fn make_spec(&mut self) -> TaskSpec {
        let exclusive_percent = self.plan.exclusive_percent;
        let chance = &mut self.chance;
        let mut maybe = |percent, first, last| {
            let value = chance.between(first, last);
            chance.percent(percent).then_some(value)
        };
        let run = match maybe(15, 0, 0) {
            Some(_) => Run::Noop {},
            None => Run::Exec(Exec { command: "work".to_owned(), ..Exec::default() }),
        };
        let mut spec = TaskSpec::new(run);
        spec.needs = Resources {
            cpu_millis: maybe(80, 1, 1_900).unwrap_or(0),
            memory_mib: maybe(50, 1, 900).unwrap_or(0),
            ..Resources::default()
        };
        spec.priority = u8::try_from(maybe(50, 0, 100).unwrap_or(50)).expect("small");
        spec.timeout_s = maybe(60, 1, 60);
        spec.deadline_s = maybe(25, 5, 240);
        spec.retry = Retry {
            attempts_max: u32::try_from(maybe(70, 1, 4).unwrap_or(1)).expect("small"),
            delay_s: maybe(60, 1, 5).unwrap_or(0),
            delay_s_max: 20,
        };
        spec.disconnect = Disconnect {
            lost_after_s: maybe(70, 0, 40).unwrap_or(60),
            stop_after_s: maybe(25, 3, 60),
            replace: maybe(75, 0, 0).is_some(),
            ..Disconnect::default()
        };
        spec.exclusive = maybe(exclusive_percent, 0, 0).is_some();
        // Where it may not find a place at all, a deadline ends the wait.
        if let Some(region) = maybe(15, 0, 2) {
            spec.place.regions = vec![format!("region-{region}")];
            spec.deadline_s = spec.deadline_s.or(Some(120));
        }
        if let Some(latency_ms) = maybe(10, 1, 500) {
            spec.place.latency_ms_max = Some(latency_ms as f64);
            spec.deadline_s = spec.deadline_s.or(Some(120));
        }
        spec
    }
}

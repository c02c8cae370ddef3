//! Those who submit work: each asks under a key of its own until it has an answer, as a careful
//! client does.

use std::sync::Arc;

use cloud_core_logic::change::IdempotencyKey;
use cloud_core_logic::{Answer, Input, ReplyTo, Submission};
use shared::id::TaskId;
use shared::spec::TaskSpec;
use uuid::Uuid;

use crate::coverage::{Kind, answer_kind};
use crate::describe;
use crate::event::Event;
use crate::failure::{ensure, fail};
use crate::specs;
use crate::trace::Who;
use crate::world::World;

/// One submission and who waits for it.
#[derive(Debug)]
pub struct Client {
    pub number: usize,
    pub spec: Arc<TaskSpec>,
    /// Its task, once it was told that it is taken on.
    pub task: Option<TaskId>,
    pub asks_again_ms: u64,
    pub tries: u16,
}

impl World {
    pub fn furnish_clients(&mut self) {
        for index in 0..self.plan.work.len() {
            let planned = &self.plan.work[index];
            let (at_ms, number, spec) = (planned.at_ms, planned.number, Arc::clone(&planned.spec));
            specs::count(&spec, &mut self.coverage);
            self.clients.push(Client { number, spec, task: None, asks_again_ms: 0, tries: 0 });
            self.at(at_ms, Event::Client { index });
        }
    }

    /// Asks, and asks again while there is no answer. The driver looks into the store first.
    pub fn client_asks(&mut self, index: usize) {
        if self.clients[index].task.is_some() {
            return;
        }
        let again_ms = self.chance.between(50, 6_000);
        self.after(again_ms, Event::Client { index });
        if self.core.cloud.is_none() {
            self.coverage.count(Kind::SubmittedToNobody);
            return;
        }
        if self.now_ms < self.clients[index].asks_again_ms {
            return;
        }
        let key = format!("key-{index}");
        if let Some(task) = self.core.maps.keys.get(&key).copied() {
            self.client_is_served(index, task);
            self.coverage.count(Kind::SubmissionRepeated);
            return;
        }
        let id = self.make_task_id(index);
        let client = &mut self.clients[index];
        client.tries += 1;
        let (number, spec) = (client.number, Arc::clone(&client.spec));
        self.note(Who::Client(number), |_| describe::submission(id, &spec));
        if spec.exclusive {
            self.exclusive.insert(id);
        }
        let key = Some(IdempotencyKey { key, body_hash: index.to_string() });
        let reply = ReplyTo(index as u64);
        self.ask_core(Input::Submit(Box::new(Submission { id, spec, key, trace: None, reply })));
    }

    /// A UUIDv7: its first 48 bits are the time. The last ones tell a reader which task it is.
    fn make_task_id(&mut self, index: usize) -> TaskId {
        let client = &self.clients[index];
        let time = u128::try_from(self.true_wall().0).expect("positive");
        let name = (client.number as u128) << describe::TRY_BITS | u128::from(client.tries);
        let rest = u128::from(self.chance.word() >> 16) << 32 | name;
        TaskId(Uuid::from_u128(time << 80 | rest))
    }

    fn client_is_served(&mut self, index: usize, task: TaskId) {
        self.clients[index].task = Some(task);
        self.acknowledged.insert(task);
    }

    /// What a client makes of an answer.
    pub fn client_hears(&mut self, reply: ReplyTo, answer: Answer) {
        let Some(index) = usize::try_from(reply.0).ok().filter(|at| *at < self.clients.len())
        else {
            return;
        };
        if let Some(kind) = answer_kind(&answer) {
            self.coverage.count(kind);
        }
        match answer {
            Answer::Submitted(document) => self.client_is_served(index, document.summary.id),
            Answer::Repeated(task) => {
                // Not committed by this batch, but by one before it.
                let kept = self.core.maps.known(task).is_some();
                ensure(kept, "a_repeated_submission_is_in_the_store", || describe::task(task));
                self.client_is_served(index, task);
            }
            Answer::QueueFull { .. } => self.clients[index].asks_again_ms = self.now_ms + 5_000,
            Answer::KeyReused(task) => fail("a_key_of_ours_is_ours", describe::task(task)),
            // Nobody asks for a profile or puts a policy in force here.
            Answer::SubmittedMany(_)
            | Answer::UnknownProfile(_)
            | Answer::Policy(_)
            | Answer::PolicyMoved(_) => {}
            Answer::Canceling(_) | Answer::NotLive(_) | Answer::Agent(_) => {}
            Answer::UnknownAgent(_) => {}
            // Nobody here asks anything of schedules.
            Answer::Schedule(_)
            | Answer::ScheduleExists(_)
            | Answer::UnknownSchedule(_)
            | Answer::ScheduleMoved(_)
            | Answer::SchedulesFull { .. }
            | Answer::BadSchedule(_)
            | Answer::ScheduleFired { .. }
            | Answer::HookPassed
            | Answer::Published { .. } => {}
        }
    }
}

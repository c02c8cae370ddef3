//! The one match: which flow an input, an alarm or an event goes to. A batch of inputs is stepped
//! as one: first all of them, then what time brings, then placement, then dispatch, so that many
//! submissions share one look at the fleet and many assignments share one message.

use shared::report::StopReason;
use shared::time::Now;

use crate::cloud::Cloud;
use crate::effect::Outcome;
use crate::flow::{
    Context, Event, assign, cancel, dispatch, fire, greet, happen, listen, lose, operate, place,
    reconcile, report, reside, schedule, settle, submit,
};
use crate::input::Input;
use crate::timers::Alarm;
use shared::wire::Uplink;

/// The most alarms taken in one step; the rest follow in the next.
const ALARMS_PER_STEP: usize = 4_096;
/// Builds with debug assertions check the invariants after every step while there are at most
/// this many tasks: the checks walk over all of them.
const CHECKED_TASKS_MAX: usize = 256;

/// Who is told how far a step has come. Decides nothing: the logic has no clock, and whoever has one
/// can tell by it how long a placement takes.
pub trait Watch {
    /// The first of the tasks that are to be placed is looked at next.
    fn placing(&mut self) {}

    /// So many tasks had their turn together: for each the best agent was sought and, if there is
    /// one, reserved.
    fn placed(&mut self, _tasks: usize) {}
}

/// Nobody watches.
impl Watch for () {}

impl Cloud {
    /// Takes one input. See [`Cloud::step_batch`].
    pub fn step(&mut self, input: Input, now: Now) -> Outcome {
        self.step_batch([input], now)
    }

    /// Takes a batch of inputs in order, at one moment. The changes are to be committed in one
    /// transaction; then, and only then, the effects are to be done.
    pub fn step_batch(&mut self, inputs: impl IntoIterator<Item = Input>, now: Now) -> Outcome {
        self.step_watched(inputs, now, &mut ())
    }

    /// The same, while somebody watches.
    pub fn step_watched(
        &mut self,
        inputs: impl IntoIterator<Item = Input>,
        now: Now,
        watch: &mut impl Watch,
    ) -> Outcome {
        let mut context = Context::new(now);
        for input in inputs {
            self.take(input, &mut context);
            self.drain(&mut context);
        }
        for _ in 0..ALARMS_PER_STEP {
            let Some(alarm) = self.timers.pop(now.mono) else {
                break;
            };
            self.ring(alarm, &mut context);
            self.drain(&mut context);
        }
        fire::run(self, &mut context);
        self.drain(&mut context);
        reside::run(self, &mut context);
        place::wake(self);
        watch.placing();
        let mut left = self.settings.placements_per_step;
        while left > 0 {
            let tried = place::next(self, left, &mut context);
            if tried == 0 {
                break;
            }
            left = left.saturating_sub(tried);
            self.drain(&mut context);
            watch.placed(tried);
        }
        dispatch::run(self, &mut context);
        fire::plan(self, &context);
        if cfg!(debug_assertions) && self.tasks.len() <= CHECKED_TASKS_MAX {
            assert_eq!(crate::invariant::check(self), Ok(()));
        }
        context.finish()
    }

    fn take(&mut self, input: Input, context: &mut Context) {
        match input {
            Input::Submit(submission) => submit::submit(self, *submission, context),
            Input::SubmitMany(submissions) => submit::submit_many(self, *submissions, context),
            Input::Cancel { task, reply } => cancel::cancel(self, task, reply, context),
            Input::Operate { agent, operation, reply } => {
                operate::operate(self, &agent, operation, reply, context);
            }
            Input::SetPolicy { policy, only_over, reply } => {
                operate::set_policy(self, *policy, only_over, reply, context);
            }
            Input::PutSchedule(wish) => schedule::put(self, *wish, context),
            Input::OperateSchedule { before, operation, reply } => {
                schedule::operate(self, before, operation, reply, context);
            }
            Input::Hook { schedule, payload, reply } => {
                schedule::hook(self, &schedule, &payload, reply, context);
            }
            Input::Published { messages, reply } => {
                happen::published(self, messages, reply, context);
            }
            Input::Join { agent, join, credential } => {
                greet::join(self, &agent, &join, credential, context);
            }
            // It spoke before it was revoked, and is heard after.
            Input::Uplink { agent, .. } if self.is_revoked(&agent) => {}
            Input::Uplink { agent, message } => match message {
                // A join is sealed with another key and comes as an input of its own.
                Uplink::Join(_) => {}
                Uplink::Hello(hello) => greet::hello(self, &agent, *hello, context),
                Uplink::Heartbeat(beat) => listen::heartbeat(self, &agent, &beat, context),
                Uplink::Reports(reports) => report::reports(self, &agent, reports, context),
                Uplink::Inventory(inventory) => {
                    reconcile::inventory(self, &agent, inventory, context)
                }
                Uplink::Progress(news) => report::progress(self, &agent, news, context),
                // Logs decide nothing: the driver takes them to the store.
                Uplink::Logs(_) => {}
                Uplink::Ping { nonce, session } => {
                    listen::ping(self, &agent, nonce, session, context);
                }
                Uplink::Gone(gone) => listen::gone(self, &agent, gone, context),
            },
            Input::Broker { up } => listen::broker(self, up, context),
            Input::Tick => {}
        }
    }

    fn ring(&mut self, alarm: Alarm, context: &mut Context) {
        match alarm {
            Alarm::Silence(agent) => listen::silence(self, &agent, context),
            Alarm::Resend(agent) => dispatch::resend(self, &agent, context),
            Alarm::Deadline(task) => cancel::deadline(self, task, context),
            Alarm::BackOff(task) => settle::back_off_over(self, task, context),
            Alarm::Offer(task) => lose::offer_unanswered(self, task, context),
            Alarm::Lost(task) => lose::silent_too_long(self, task, context),
            Alarm::Stop(task) => cancel::unheard(self, task, context),
            Alarm::Avoid(task) => place::avoid_over(self, task),
            Alarm::Inventory(agent) => reconcile::parts_missing(self, &agent, context),
            Alarm::Recovered => reconcile::recovered(self, context),
        }
    }

    fn drain(&mut self, context: &mut Context) {
        while let Some(event) = context.next_event() {
            match event {
                Event::Chosen { task, candidate, together } => {
                    assign::assign(self, task, *candidate, together, context);
                }
                Event::NoPlace { task } => place::park(self, task),
                Event::AttemptEnded { task } => settle::attempt_ended(self, task, context),
                Event::AttemptStrayed { task } => settle::attempt_strayed(self, task, context),
                Event::StrayFinished { stray, ending } => {
                    reconcile::stray_finished(self, stray, ending, context);
                }
                Event::Compare { agent } => {
                    reconcile::compare_when_complete(self, &agent, context);
                }
                Event::AskForInventory { agent } => reconcile::ask(self, &agent, context),
                Event::Greeted { agent } => {
                    reconcile::greeted(self, &agent, context);
                    reside::agent_changed(self, &agent, context);
                }
                Event::AgentChanged { agent } => reside::agent_changed(self, &agent, context),
                Event::Stop { task, reason } => cancel::stop(self, task, reason, context),
                Event::Lose { task, detail, left } => lose::lose(self, task, detail, left, context),
                Event::HeardAgain { agent } => lose::heard_again(self, &agent, context),
                Event::CallOff { task } => {
                    cancel::call_off(self, task, StopReason::Canceled, context);
                }
                Event::Settled { task, status, origin } => {
                    if let Some(origin) = &origin {
                        fire::over(self, origin.schedule, task, context);
                    }
                    happen::settled(self, task, status, origin.as_deref(), context);
                }
                Event::Became { agent, change, from } => {
                    happen::became(self, &agent, change, from, context);
                }
                Event::Fire { slot, payload } => fire::event(self, slot, payload, context),
                Event::FellSilent { agent } => {
                    lose::fell_silent(self, &agent, context);
                    reside::agent_changed(self, &agent, context);
                }
            }
        }
    }
}

//! `POST /v1/hooks/{name}`: a call from outside that fires a schedule. Whoever makes it needs no token:
//! it is signed with the secret of the hook, and each delivery is taken once.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::Answer;
use shared::api::{HookCalled, HookDocument};
use shared::id::ScheduleId;
use shared::schedule::{EventTrigger, PAYLOAD_BYTES_MAX, Trigger};
use shared::time::Timestamp;

use super::{RETRY_AFTER_S, name_of, stored};
use crate::http::body::{self, BODY_TIMEOUT, Rules};
use crate::http::problem::{ApiError, ApiResult, Kind};
use crate::http::query;
use crate::http::state::State;
use crate::http::unexpected;

/// How far the time of a delivery may be from the core's clock.
const TOLERANCE_S: i64 = 300;
/// The longest id of a delivery, in bytes.
const ID_BYTES_MAX: usize = 128;
/// How many deliveries are remembered. An older one is also told by its time, unless more than so many
/// come within twice the tolerance.
const DELIVERIES_MAX: usize = 10_000;

const DELIVERY: Rules = Rules {
    types: &["application/json"],
    bytes_max: PAYLOAD_BYTES_MAX,
    timeout: BODY_TIMEOUT,
    advice: "of text; send where the rest can be fetched",
};

type Delivery = (ScheduleId, String);

/// The deliveries that were taken lately, with their answers.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    /// The answer is there once the core has given it.
    answers: HashMap<Delivery, Option<HookCalled>>,
    order: VecDeque<Delivery>,
}

/// What is known of a delivery that comes.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Nothing: it is this caller's now.
    New,
    /// It is being taken.
    UnderWay,
    /// It was taken.
    Answered(HookCalled),
}

impl Deliveries {
    fn begin(&self, delivery: &Delivery) -> Known {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.answers.get(delivery) {
            Some(Some(answer)) => return Known::Answered(answer.clone()),
            Some(None) => return Known::UnderWay,
            None => {}
        }
        if taken.order.len() >= DELIVERIES_MAX
            && let Some(oldest) = taken.order.pop_front()
        {
            taken.answers.remove(&oldest);
        }
        taken.answers.insert(delivery.clone(), None);
        taken.order.push_back(delivery.clone());
        Known::New
    }

    /// Keeps the answer, or forgets a delivery that was not taken, so that it can come again.
    fn end(&self, delivery: &Delivery, answer: Option<&HookCalled>) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(answer) => {
                if let Some(kept) = taken.answers.get_mut(delivery) {
                    *kept = Some(answer.clone());
                }
            }
            None => {
                taken.answers.remove(delivery);
                taken.order.retain(|held| held != delivery);
            }
        }
    }
}

/// Forgets a delivery when whoever brought it is gone before there was an answer.
struct UnderWay<'a> {
    deliveries: &'a Deliveries,
    delivery: &'a Delivery,
    answer: Option<HookCalled>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.deliveries.end(self.delivery, self.answer.as_ref());
    }
}

/// `POST /v1/hooks/{name}`.
pub async fn call(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let name = name_of(&request)?;
    let id = header(&request, "webhook-id")?;
    let timestamp = header(&request, "webhook-timestamp")?;
    let signature = header(&request, "webhook-signature")?;
    if id.is_empty() || id.len() > ID_BYTES_MAX {
        return Err(refused(&format!("`webhook-id` must have 1 to {ID_BYTES_MAX} bytes")));
    }
    check_time(timestamp, state.clock.now().wall)?;
    let bytes = body::arriving(payload, &DELIVERY).await?;
    let asked = name.clone();
    let found = state.read(move |reader| reader.schedule(&asked)).await?;
    let schedule = found.filter(|row| is_hook(&row.spec.trigger)).map(|row| row.id);
    // A name that is none is told by the same words, after the same work.
    let secret = state.schedules.hook_key.secret(schedule.unwrap_or(ScheduleId(uuid::Uuid::nil())));
    let right = secret.verify(signature, id, timestamp, &bytes);
    let Some(schedule) = schedule.filter(|_| right) else {
        return Err(refused("the signature is none of this hook, for this id, time and body"));
    };
    let Ok(text) = std::str::from_utf8(&bytes) else {
        return Err(ApiError::new(Kind::InvalidJson, "the body must be text in UTF-8"));
    };
    let delivery = (schedule, id.to_owned());
    match state.deliveries.begin(&delivery) {
        Known::Answered(answer) => return Ok(HttpResponse::Ok().json(answer)),
        Known::UnderWay => {
            let detail = "this delivery is being taken; ask again for what came of it";
            return Err(ApiError::new(Kind::CoreBusy, detail).retry_after_s(RETRY_AFTER_S));
        }
        Known::New => {}
    }
    let mut under_way =
        UnderWay { deliveries: &state.deliveries, delivery: &delivery, answer: None };
    let answer = match state.core.call_hook(name, Arc::from(text)).await? {
        Answer::ScheduleFired { at, task } => HookCalled { fired: true, at: Some(at), task },
        Answer::HookPassed => HookCalled { fired: false, at: None, task: None },
        // Changed since it was read.
        Answer::UnknownSchedule(_) => return Err(refused("the schedule has no hook any more")),
        other => return Err(unexpected("call_hook", &other)),
    };
    under_way.answer = Some(answer.clone());
    Ok(HttpResponse::Ok().json(answer))
}

/// `GET /v1/schedules/{name}/hook`.
pub async fn secret(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    query::none(&request)?;
    let row = stored(&state, &name_of(&request)?).await?;
    if !is_hook(&row.spec.trigger) {
        let detail = format!(
            "the schedule {} has no hook: its trigger is another one than {}",
            row.spec.name, r#"{"event": {"webhook": {}}}"#
        );
        return Err(ApiError::new(Kind::ScheduleNotFound, detail));
    }
    Ok(HttpResponse::Ok().json(HookDocument {
        url: format!("/v1/hooks/{}", row.spec.name),
        secret: state.schedules.hook_key.secret(row.id).expose(),
    }))
}

fn is_hook(trigger: &Trigger) -> bool {
    matches!(trigger, Trigger::Event { event: EventTrigger::Webhook { .. } })
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> ApiResult<&'a str> {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| {
        refused(&format!(
            "the header `{name}` is missing, or no text; a call is signed as the Standard Webhooks \
             specification says"
        ))
    })
}

fn check_time(timestamp: &str, now: Timestamp) -> ApiResult<()> {
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let second = timestamp.parse::<i64>().ok().filter(|_| digits);
    let Some(second) = second else {
        return Err(refused("`webhook-timestamp` must be whole seconds since 1970"));
    };
    let off_s = second.saturating_sub(now.0.div_euclid(1_000)).saturating_abs();
    if off_s > TOLERANCE_S {
        return Err(refused(&format!(
            "`webhook-timestamp` is {off_s} s from the core's clock, and {TOLERANCE_S} s are allowed; \
             look at the clocks of both, and sign a repeated call anew"
        )));
    }
    Ok(())
}

fn refused(detail: &str) -> ApiError {
    ApiError::new(Kind::BadSignature, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn delivery(n: usize) -> Delivery {
        (ScheduleId(Uuid::from_u128(1)), format!("msg_{n}"))
    }

    #[test]
    fn a_delivery_is_taken_once_and_one_that_failed_may_come_again() {
        let deliveries = Deliveries::default();
        let answer = HookCalled { fired: false, at: None, task: None };
        assert_eq!(deliveries.begin(&delivery(0)), Known::New);
        assert_eq!(deliveries.begin(&delivery(0)), Known::UnderWay);
        deliveries.end(&delivery(0), None);
        assert_eq!(deliveries.begin(&delivery(0)), Known::New);
        deliveries.end(&delivery(0), Some(&answer));
        assert_eq!(deliveries.begin(&delivery(0)), Known::Answered(answer));
        for n in 1..=DELIVERIES_MAX {
            assert_eq!(deliveries.begin(&delivery(n)), Known::New);
        }
        assert_eq!(deliveries.begin(&delivery(0)), Known::New, "the oldest is forgotten");
        let taken = deliveries.0.lock().expect("taken");
        assert!(taken.answers.len() == DELIVERIES_MAX && taken.order.len() == DELIVERIES_MAX);
    }

    #[test]
    fn a_time_is_near_the_clock_or_refused() {
        let now = Timestamp(1_700_000_000_500);
        for right in ["1700000000", "1699999700", "1700000300"] {
            check_time(right, now).expect(right);
        }
        for wrong in
            ["1699999699", "1700000301", "-1700000000", "+1700000000", "", "99999999999999999999"]
        {
            check_time(wrong, now).expect_err(wrong);
        }
    }
}

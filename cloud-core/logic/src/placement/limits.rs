//! What a task asks of the place where it runs, as far as the policy keeps to it. The filters and the
//! index both read it here, so a limit that is off is off for both.

use shared::geo::{Area, Position};

use super::Request;
use super::policy::Policy;

/// The limits of one task that are on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'a> {
    /// A point, and how far from there is still near.
    pub(super) within: Option<(Position, f64)>,
    /// The area to be inside.
    pub(super) area: Option<&'a Area>,
    /// The regions, one of which it must be; empty is any.
    pub(super) regions: &'a [String],
    /// The highest round trip, in milliseconds.
    pub(super) latency_ms_max: Option<f64>,
    /// For which highest round trip one must have been measured at all.
    pub(super) measured_for: Option<f64>,
}

impl<'a> Limits<'a> {
    pub(super) fn of(request: &Request<'a>, policy: &Policy) -> Self {
        let (place, on) = (&request.spec.place, &policy.filters);
        let within = place.near.and_then(|near| Some((near.position, near.within_m?)));
        Self {
            within: within.filter(|_| on.too_far),
            area: place.area.as_ref().filter(|_| on.outside_area),
            regions: if on.region { &place.regions } else { &[] },
            latency_ms_max: place.latency_ms_max.filter(|_| on.latency_too_high),
            measured_for: place.latency_ms_max.filter(|_| on.latency_unknown),
        }
    }
}

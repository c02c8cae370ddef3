//! Great-circle distance. The formula is the `geo` crate's haversine; this file
//! fixes the radius and the unit, and keeps rounding at the antipode from becoming a NaN.

use geo::{Distance, Haversine, Point};

use super::Position;

/// The mean radius of the Earth that every distance here uses, in metres (IUGG, GRS80).
pub const EARTH_RADIUS_M: f64 = Haversine.radius();

/// The greatest distance there is, in metres: half the way round.
pub const DISTANCE_M_MAX: f64 = EARTH_RADIUS_M * std::f64::consts::PI;

/// The great-circle distance between two places on a sphere of [`EARTH_RADIUS_M`], in metres:
/// finite, from 0 to [`DISTANCE_M_MAX`], the same in both directions to the last bit. The true
/// distance on the ellipsoid differs by up to 0.6 %.
#[must_use]
pub fn distance_m(a: Position, b: Position) -> f64 {
    let point = |place: Position| Point::new(place.longitude(), place.latitude());
    bounded(Haversine.distance(point(a), point(b)))
}

/// The haversine of antipodes is 1 give or take rounding, and the arcsine of anything above 1 is
/// not a number.
fn bounded(distance_m: f64) -> f64 {
    if distance_m.is_nan() { DISTANCE_M_MAX } else { distance_m.clamp(0.0, DISTANCE_M_MAX) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geo::samples::{antipode, any_position, position};

    /// atan2(|a × b|, a · b): exact at every angle.
    fn by_vectors_m(a: Position, b: Position) -> f64 {
        let ([ax, ay, az], [bx, by, bz]) = (a.unit_vector(), b.unit_vector());
        let cross = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx];
        let sine = cross.iter().map(|c| c * c).sum::<f64>().sqrt();
        EARTH_RADIUS_M * sine.atan2(ax * bx + ay * by + az * bz)
    }

    /// The spherical law of cosines: good between about 1 km and 20,000 km.
    fn by_cosines_m(a: Position, b: Position) -> f64 {
        let (a_latitude, b_latitude) = (a.latitude().to_radians(), b.latitude().to_radians());
        let longitude = (b.longitude() - a.longitude()).to_radians();
        let cosine = a_latitude.sin() * b_latitude.sin()
            + a_latitude.cos() * b_latitude.cos() * longitude.cos();
        EARTH_RADIUS_M * cosine.clamp(-1.0, 1.0).acos()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn distance_equals_the_vector_form(a in any_position(), b in any_position()) {
            let (distance, expected) = (distance_m(a, b), by_vectors_m(a, b));
            // The haversine loses half its digits towards the antipode: some centimetres there.
            let tolerance = if expected < 19_900_000.0 { 1e-3 } else { 1.0 };
            prop_assert!((distance - expected).abs() < tolerance, "{distance} {expected}");
        }

        #[test]
        fn distance_equals_the_law_of_cosines(a in any_position(), b in any_position()) {
            let (distance, expected) = (distance_m(a, b), by_cosines_m(a, b));
            prop_assume!((1_000.0..20_000_000.0).contains(&expected));
            prop_assert!((distance - expected).abs() < 0.1, "{distance} {expected}");
        }

        #[test]
        fn distance_is_symmetric_finite_and_bounded(a in any_position(), b in any_position()) {
            prop_assert_eq!(distance_m(a, b).to_bits(), distance_m(b, a).to_bits());
            prop_assert!((0.0..=DISTANCE_M_MAX).contains(&distance_m(a, b)));
            prop_assert_eq!(distance_m(a, a), 0.0);
        }

        #[test]
        fn no_detour_is_shorter(a in any_position(), b in any_position(), c in any_position()) {
            prop_assert!(distance_m(a, c) <= distance_m(a, b) + distance_m(b, c) + 1.0);
        }

        #[test]
        fn the_antipode_is_half_the_way_round(a in any_position()) {
            let distance = distance_m(a, antipode(a));
            prop_assert!((distance - DISTANCE_M_MAX).abs() < 1.0, "{distance}");
        }
    }

    #[test]
    fn rounding_at_the_antipode_is_no_nan() {
        assert_eq!(bounded(f64::NAN), DISTANCE_M_MAX);
        assert_eq!(bounded(DISTANCE_M_MAX * 1.000_001), DISTANCE_M_MAX);
    }

    #[test]
    fn one_place_under_two_names_is_no_distance_apart() {
        assert!(distance_m(position(10.0, 180.0), position(10.0, -180.0)) < 1e-6);
        assert!(distance_m(position(90.0, 17.0), position(90.0, -101.0)) < 1e-6);
    }

    #[test]
    fn known_distances_are_met() {
        // One degree along the equator, and Melbourne to Sydney (713.4 km on the sphere).
        let degree = distance_m(position(0.0, 0.0), position(0.0, 1.0));
        assert!((degree - 111_195.08).abs() < 0.01, "{degree}");
        let melbourne_sydney =
            distance_m(position(-37.8136, 144.9631), position(-33.8688, 151.2093));
        assert!((melbourne_sydney - 713_400.0).abs() < 300.0, "{melbourne_sydney}");
    }
}

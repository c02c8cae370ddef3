//! Great-circle distance: from the straight line through the Earth between two places to the arc
//! above it.
//!
//! Placement prunes by distance, and its answers must be the same on every machine. So nothing here
//! asks a mathematical library, whose last bits differ from one platform to the next, and
//! [`arc_m`] never falls where the chord grows, not even by rounding: whatever bounds a chord
//! bounds the arc, to the last bit.

use super::Position;

/// The mean radius of the Earth that every distance here uses, in metres (IUGG, GRS80).
pub const EARTH_RADIUS_M: f64 = geo::Haversine.radius();

/// The greatest distance there is, in metres: half the way round.
pub const DISTANCE_M_MAX: f64 = EARTH_RADIUS_M * std::f64::consts::PI;

/// The great-circle distance between two places on a sphere of [`EARTH_RADIUS_M`], in metres:
/// finite, from 0 to [`DISTANCE_M_MAX`], the same in both directions to the last bit. The true
/// distance on the ellipsoid differs by up to 0.6 %.
#[must_use]
pub fn distance_m(a: Position, b: Position) -> f64 {
    arc_m(chord_squared(a.unit_vector(), b.unit_vector()))
}

/// The square of the straight line between two points of the unit sphere, 0 to 4. It never falls
/// while a coordinate moves away from the other point's.
#[inline]
#[must_use]
pub fn chord_squared(a: [f64; 3], b: [f64; 3]) -> f64 {
    let (x, y, z) = (a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    x * x + y * y + z * z
}

/// The arc in metres above a chord of the unit sphere, given by its square. Takes anything from 0
/// up, and never falls.
///
/// Two halvings of the angle, `sin²(θ/2) = sin² θ ÷ (2 + 2 cos θ)`, lead to at most π/8, where the
/// series of the arcsine needs few terms. Each operation is one that IEEE 754 rounds correctly, and
/// each takes what is not negative and rises (or falls, where a fall is divided by) with it; the
/// rounding of a monotone function is monotone, and so are such functions of one another.
#[inline]
#[must_use]
pub fn arc_m(chord_squared: f64) -> f64 {
    let sine_squared = (0.25 * chord_squared).min(1.0);
    let halved = halved(halved(sine_squared));
    let mut series = 0.0;
    for coefficient in ARCSINE {
        series = series * halved + coefficient;
    }
    let sine = halved.sqrt();
    // Eight times the eighth of the angle.
    (8.0 * EARTH_RADIUS_M * (sine + sine * halved * series)).min(DISTANCE_M_MAX)
}

/// The chord itself in metres, a little shortened, so that it is never above [`arc_m`] of the same
/// square: a quick lower bound, off by one part in 10⁵ at 100 km. Never falls either.
#[inline]
#[must_use]
pub fn chord_m(chord_squared: f64) -> f64 {
    // More than both functions round by.
    const SHORTENED_RADIUS_M: f64 = EARTH_RADIUS_M * (1.0 - 1.0 / (1_u64 << 40) as f64);
    // Squares so small have lost their last bits.
    const VAGUE: f64 = 1e-200;
    SHORTENED_RADIUS_M * (chord_squared - VAGUE).max(0.0).sqrt()
}

/// The squared sine of half the angle.
#[inline]
fn halved(sine_squared: f64) -> f64 {
    sine_squared / (2.0 + 2.0 * (1.0 - sine_squared).sqrt())
}

/// `(2n)! ÷ (4ⁿ n!² (2n + 1))` from n = 14 down to 1: the arcsine's series beyond its first term,
/// all positive. What is left out is below 10⁻¹³ of the angle.
const ARCSINE: [f64; 14] = [
    5_014_575.0 / 973_078_528.0,
    1_300_075.0 / 226_492_416.0,
    676_039.0 / 104_857_600.0,
    88_179.0 / 12_058_624.0,
    46_189.0 / 5_505_024.0,
    12_155.0 / 1_245_184.0,
    6_435.0 / 557_056.0,
    143.0 / 10_240.0,
    231.0 / 13_312.0,
    63.0 / 2_816.0,
    35.0 / 1_152.0,
    5.0 / 112.0,
    3.0 / 40.0,
    1.0 / 6.0,
];

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
            // A chord says little of the angle towards the antipode: some centimetres there.
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
    fn beyond_the_antipode_there_is_nothing() {
        for chord_squared in [4.0, 4.000_001, 1e300, f64::INFINITY] {
            let arc = arc_m(chord_squared);
            assert!(arc <= DISTANCE_M_MAX && arc > DISTANCE_M_MAX - 1e-3, "{arc}");
        }
        assert_eq!(arc_m(0.0), 0.0);
    }

    /// Neighbouring numbers, where rounding would show a fall: in runs through every power of two
    /// that matters, and around the places where the formula changes its ways.
    #[test]
    fn a_longer_chord_never_has_a_shorter_arc() {
        let starts = (-1_073..2).step_by(3).map(|power| 2.0_f64.powi(power));
        let starts = starts.flat_map(|start| [start, 1.37 * start, 1.993 * start]);
        for start in starts.chain([0.0, 2.0, 3.0, 3.999, 3.999_999_999, 4.0_f64.next_down()]) {
            let mut chord_squared = start;
            for _ in 0..5_000 {
                let next = chord_squared.next_up();
                assert!(arc_m(chord_squared) <= arc_m(next), "{chord_squared:e}");
                assert!(chord_m(chord_squared) <= arc_m(chord_squared), "{chord_squared:e}");
                chord_squared = next;
            }
        }
    }

    /// The same, from each single-precision number to the next over the whole range: 2³⁰ of them.
    /// `make soak-placement` takes every one.
    #[test]
    fn nor_over_the_whole_range() {
        let every = std::env::var_os("AMBIT_SOAK").is_some();
        let step = if every { 1 } else { 4_999 };
        let mut before = 0.0;
        for bits in (0..=4.0_f32.to_bits()).step_by(step) {
            let arc = arc_m(f32::from_bits(bits).into());
            assert!(before <= arc, "{bits:#x}");
            assert!(chord_m(f32::from_bits(bits).into()) <= arc, "{bits:#x}");
            before = arc;
        }
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

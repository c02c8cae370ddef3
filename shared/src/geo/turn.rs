//! Sine and cosine of an angle in degrees, from nothing but additions and multiplications in a
//! fixed order: the same bits on every machine, which no mathematical library promises. Whole
//! quarter turns are exact, so a pole is the pole at every longitude.

/// 1 ÷ n!, negative where the sine's series subtracts, from n = 17 down to 3.
const SINE: [f64; 8] = [
    1.0 / 355_687_428_096_000.0,
    -1.0 / 1_307_674_368_000.0,
    1.0 / 6_227_020_800.0,
    -1.0 / 39_916_800.0,
    1.0 / 362_880.0,
    -1.0 / 5_040.0,
    1.0 / 120.0,
    -1.0 / 6.0,
];
/// The same for the cosine, from n = 18 down to 2.
const COSINE: [f64; 9] = [
    -1.0 / 6_402_373_705_728_000.0,
    1.0 / 20_922_789_888_000.0,
    -1.0 / 87_178_291_200.0,
    1.0 / 479_001_600.0,
    -1.0 / 3_628_800.0,
    1.0 / 40_320.0,
    -1.0 / 720.0,
    1.0 / 24.0,
    -1.0 / 2.0,
];

/// Sine and cosine of a finite angle of a few turns at most, within two units in the last place.
pub(super) fn sin_cos(degrees: f64) -> (f64, f64) {
    let quarters = (degrees / 90.0).round();
    // Exact: the two are close to one another.
    let angle = (degrees - 90.0 * quarters) * (std::f64::consts::PI / 180.0);
    let square = angle * angle;
    let series = |terms: &[f64]| terms.iter().fold(0.0, |sum, term| sum * square + term) * square;
    let (sine, cosine) = (angle + angle * series(&SINE), 1.0 + series(&COSINE));
    match quarters.rem_euclid(4.0) {
        0.0 => (sine, cosine),
        1.0 => (cosine, -sine),
        2.0 => (-sine, -cosine),
        _ => (-cosine, sine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_library_says() {
        for step in -54_000..=54_000 {
            let degrees = f64::from(step) * 0.010_000_7;
            let (sine, cosine) = sin_cos(degrees);
            let (expected_sine, expected_cosine) = degrees.to_radians().sin_cos();
            // The library is given radians that are already rounded, several turns away.
            assert!((sine - expected_sine).abs() < 2e-15, "{degrees}");
            assert!((cosine - expected_cosine).abs() < 2e-15, "{degrees}");
        }
    }

    #[test]
    fn quarter_turns_are_exact() {
        let turns = [(-180.0, (0.0, -1.0)), (-90.0, (-1.0, 0.0)), (0.0, (0.0, 1.0))];
        for (degrees, expected) in
            turns.into_iter().chain([(90.0, (1.0, 0.0)), (180.0, (0.0, -1.0))])
        {
            assert_eq!(sin_cos(degrees), expected, "{degrees}");
        }
    }
}

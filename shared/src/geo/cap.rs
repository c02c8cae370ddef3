//! Bounding caps: the circle on the sphere that an index tests before it asks an area itself.
//! Conservative on purpose: a cap may hold more than its area, never less.

use super::distance::{DISTANCE_M_MAX, EARTH_RADIUS_M, distance_m};
use super::position::{Position, unit_vector};
use super::segments::Segment;

/// Points taken along an outline, beside its positions.
const SAMPLES: f64 = 2_000.0;

/// All places within a great-circle distance of a centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cap {
    /// The middle.
    pub centre: Position,
    /// The distance in metres, from 0 to half the way round, which is everywhere.
    pub radius_m: f64,
}

impl Cap {
    /// Whether a place is in the cap. If not, it is not in what the cap bounds.
    #[must_use]
    pub fn contains(&self, place: Position) -> bool {
        distance_m(self.centre, place) <= self.radius_m
    }

    /// The cap round everything the given outlines enclose, `encloses` telling whether they
    /// enclose a place.
    pub(super) fn around<'a>(
        outlines: impl Iterator<Item = &'a Segment> + Clone,
        encloses: impl Fn(Position) -> bool,
    ) -> Self {
        let length = |segment: &Segment| {
            let [a, b] = segment.ends();
            (b[0] - a[0]).hypot(b[1] - a[1])
        };
        let total: f64 = outlines.clone().map(length).sum();
        let mut samples: Vec<[f64; 3]> = Vec::new();
        let mut gap = 0.0_f64;
        for segment in outlines {
            let [a, b] = segment.ends();
            let pieces = (length(segment) / total * SAMPLES)
                .ceil()
                .clamp(1.0, SAMPLES);
            gap = gap.max(length(segment) / pieces);
            let mut piece = 0.0;
            while piece <= pieces {
                let part = piece / pieces;
                let (x, y) = (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part);
                samples.push(unit_vector(y, x));
                piece += 1.0;
            }
        }
        let sum = samples
            .iter()
            .fold([0.0; 3], |sum, at| [0, 1, 2].map(|i| sum[i] + at[i]));
        let mean = sum.map(|part| part / samples.len() as f64);
        let Some(centre) = Position::towards(mean) else {
            return Self::everywhere();
        };
        // Every point of an outline is within half a gap of a sample: a degree along a line in
        // longitude and latitude is at most a degree on the sphere. One metre covers rounding.
        let farthest = samples
            .iter()
            .map(|&at| angle(centre.unit_vector(), at))
            .fold(0.0, f64::max);
        let radius_m = (farthest + gap.to_radians() / 2.0) * EARTH_RADIUS_M + 1.0;
        // No outline leaves the cap, so what lies beyond it is enclosed as a whole or not at all.
        if radius_m >= DISTANCE_M_MAX || encloses(antipode(centre)) {
            return Self::everywhere();
        }
        Self { centre, radius_m }
    }

    fn everywhere() -> Self {
        Self {
            centre: Position::ORIGIN,
            radius_m: DISTANCE_M_MAX,
        }
    }
}

/// The angle between two unit vectors, in radians.
fn angle(a: [f64; 3], b: [f64; 3]) -> f64 {
    let chord = [0, 1, 2]
        .map(|i| a[i] - b[i])
        .iter()
        .map(|d| d * d)
        .sum::<f64>()
        .sqrt();
    2.0 * (chord / 2.0).min(1.0).asin()
}

fn antipode(place: Position) -> Position {
    Position::towards(place.unit_vector().map(|part| -part)).unwrap_or(place)
}

//! Bounding caps: the circle on the sphere that an index tests before it asks an area itself.
//! Conservative on purpose: a cap may hold more than its area, never less.

use super::distance::{DISTANCE_M_MAX, EARTH_RADIUS_M, distance_m};
use super::position::{Position, unit_vector};
use super::segments::Segment;

/// Points taken along an outline, beside its positions, to find the farthest from its middle.
pub(super) const SAMPLES: f64 = 2_000.0;

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
    /// enclose a place. The fewer `samples` are taken of the outlines, the wider it is.
    pub(super) fn around<'a>(
        outlines: impl Iterator<Item = &'a Segment> + Clone,
        encloses: impl Fn(Position) -> bool,
        samples: f64,
    ) -> Self {
        let length = |segment: &Segment| {
            let [a, b] = segment.ends();
            (b[0] - a[0]).hypot(b[1] - a[1])
        };
        let total: f64 = outlines.clone().map(length).sum();
        let mut points: Vec<[f64; 3]> = Vec::new();
        let mut gap = 0.0_f64;
        for segment in outlines {
            let [a, b] = segment.ends();
            let pieces = (length(segment) / total * samples).ceil().max(1.0);
            gap = gap.max(length(segment) / pieces);
            let mut piece = 0.0;
            while piece <= pieces {
                let part = piece / pieces;
                let (x, y) = (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part);
                points.push(unit_vector(y, x));
                piece += 1.0;
            }
        }
        let sum = points.iter().fold([0.0; 3], |sum, at| [0, 1, 2].map(|i| sum[i] + at[i]));
        let mean = sum.map(|part| part / points.len() as f64);
        let Some(centre) = Position::towards(mean) else {
            return Self::everywhere();
        };
        // Every point of an outline is within half a gap of a sample: a degree along a line in
        // longitude and latitude is at most a degree on the sphere. One metre covers rounding.
        let farthest = points.iter().map(|&at| angle(centre.unit_vector(), at)).fold(0.0, f64::max);
        let radius_m = (farthest + gap.to_radians() / 2.0) * EARTH_RADIUS_M + 1.0;
        // No outline leaves the cap, so what lies beyond it is enclosed as a whole or not at all.
        if radius_m >= DISTANCE_M_MAX || encloses(antipode(centre)) {
            return Self::everywhere();
        }
        Self { centre, radius_m }
    }

    fn everywhere() -> Self {
        Self { centre: Position::ORIGIN, radius_m: DISTANCE_M_MAX }
    }
}

/// The angle between two unit vectors, in radians.
fn angle(a: [f64; 3], b: [f64; 3]) -> f64 {
    let chord = [0, 1, 2].map(|i| a[i] - b[i]).iter().map(|d| d * d).sum::<f64>().sqrt();
    2.0 * (chord / 2.0).min(1.0).asin()
}

fn antipode(place: Position) -> Position {
    Position::towards(place.unit_vector().map(|part| -part)).unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::samples::position;

    #[test]
    fn the_farthest_point_may_be_the_middle_of_an_edge() {
        // The middle lies beyond the pole, so the parallel is farthest halfway between its ends.
        let corners = [[-80.0, 60.0], [80.0, 60.0], [180.0, 70.0]];
        let edges = [
            Segment::new(corners[0], corners[1], 0),
            Segment::new(corners[1], corners[2], 1),
            Segment::new([-180.0, 70.0], corners[0], 2),
        ];
        let cap = Cap::around(edges.iter(), |_| false, 1.0);
        let farther = |place| distance_m(cap.centre, place);
        assert!(farther(position(60.0, 0.0)) > 1.05 * farther(position(60.0, 80.0)));
        assert!(cap.contains(position(60.0, 0.0)), "{cap:?}");
    }
}

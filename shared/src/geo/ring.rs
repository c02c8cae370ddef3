//! One ring on the sphere: which places lie inside it, at its edge, or outside. Longitude and
//! latitude are unrolled to the strip from -180 to 180; an edge that crosses the antimeridian
//! stands at both its ends, and whether a pole is inside is settled when the ring is made.

use super::error::AreaProblem;
use super::position::Position;
use super::seam::{Step, Vertex, corners, steps};
use super::segments::{Crossing, Extent, Meets, Segment, Segments};

/// Where a place lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Enclosed by the ring.
    Inside,
    /// On one of its edges.
    Edge,
    /// Elsewhere.
    Outside,
}

/// A checked ring: closed, with an inside, not crossing itself. It may touch itself; what it then
/// encloses is told by the even-odd rule.
#[derive(Debug)]
pub(super) struct Ring {
    segments: Segments,
    /// The box round all it encloses.
    extent: Extent,
    /// A meridian beyond all its edges begins inside: it goes round the North Pole.
    holds_north: bool,
    north_pole: Side,
    south_pole: Side,
}

impl Ring {
    /// A ring from its positions, longitude first, the last equal to the first. Comparisons
    /// spent on looking for crossings are taken from `budget`.
    ///
    /// # Errors
    /// Says why it encloses nothing, or not one thing.
    pub(super) fn new(
        positions: impl Iterator<Item = [f64; 2]>,
        budget: &mut u64,
    ) -> Result<Self, AreaProblem> {
        let corners = corners(positions);
        if corners.len() < 3 {
            return Err(AreaProblem::NoArea);
        }
        let steps = steps(&corners)?;
        let segments = Segments::new(unroll(&corners, &steps));
        match segments.crossing(budget) {
            None => {}
            Some(Crossing::Found(first, second)) => {
                return Err(AreaProblem::Crossing { first, second });
            }
            Some(Crossing::GaveUp) => return Err(AreaProblem::Tangled),
        }
        let pole = match steps.iter().map(|step| step.turns()).sum::<i32>() {
            0 => check_area(&corners, &steps).map(|()| None)?,
            1 | -1 => Some(enclosed_pole(&corners)?),
            _ => return Err(AreaProblem::Turns),
        };
        let mut ring = Self {
            extent: segments.extent(),
            segments,
            holds_north: pole == Some(Pole::North),
            north_pole: Side::Outside,
            south_pole: Side::Outside,
        };
        match pole {
            Some(Pole::North) => (ring.extent.north, ring.north_pole) = (90.0, Side::Inside),
            Some(Pole::South) => (ring.extent.south, ring.south_pole) = (-90.0, Side::Inside),
            None => {}
        }
        ring.north_pole = ring.pole_touched(&corners, Pole::North).unwrap_or(ring.north_pole);
        ring.south_pole = ring.pole_touched(&corners, Pole::South).unwrap_or(ring.south_pole);
        Ok(ring)
    }

    /// Its edges, those across the antimeridian twice.
    pub(super) fn segments(&self) -> &[Segment] {
        self.segments.as_slice()
    }

    /// Where a place lies. A pole is one place at every longitude, and so is the antimeridian
    /// under both its names.
    pub(super) fn side(&self, place: Position) -> Side {
        match place.latitude() {
            90.0 => self.north_pole,
            -90.0 => self.south_pole,
            latitude => self.side_off_poles(place.longitude(), latitude),
        }
    }

    fn side_off_poles(&self, x: f64, y: f64) -> Side {
        if y < self.extent.south || y > self.extent.north {
            return Side::Outside;
        }
        if x.abs() == 180.0 {
            return self.side_on_antimeridian(y);
        }
        match self.segments.meridian(x, y) {
            Meets::Point => Side::Edge,
            meets if (meets == Meets::Odd) != self.holds_north => Side::Inside,
            _ => Side::Outside,
        }
    }

    /// The antimeridian is one line with two names, and an edge may lie under either.
    fn side_on_antimeridian(&self, y: f64) -> Side {
        // Edges are counted just east of a meridian, so it counts under its western name.
        let (east, west) = (self.segments.meridian(180.0, y), self.segments.meridian(-180.0, y));
        if east != Meets::Point && west != Meets::Point {
            let inside = (west == Meets::Odd) != self.holds_north;
            return if inside { Side::Inside } else { Side::Outside };
        }
        // A box round the globe has an edge under both names and is cut by neither.
        let beside = 180.0 - 1e-9;
        let inside = |x| self.side_off_poles(x, y) == Side::Inside;
        if east == west && inside(beside) && inside(-beside) { Side::Inside } else { Side::Edge }
    }

    /// How a pole lies to a ring with a corner on it; `None` if it has none. Just below the pole
    /// the edges that end on it cut the parallel into sectors: the pole is inside if all of them
    /// are, else the ring merely touches it.
    fn pole_touched(&self, corners: &[Vertex], pole: Pole) -> Option<Side> {
        let pole_y = pole.latitude();
        if !corners.iter().any(|corner| corner.y == pole_y) {
            return None;
        }
        let towards_pole = |y: f64| y * pole_y.signum();
        let nearest = corners
            .iter()
            .map(|corner| towards_pole(corner.y))
            .filter(|&y| y < 90.0)
            .fold(-90.0, f64::max);
        let parallel = f64::midpoint(90.0, nearest) * pole_y.signum();
        let mut cuts: Vec<f64> = self
            .segments()
            .iter()
            .map(Segment::ends)
            .filter(|[a, b]| (a[1] == pole_y) != (b[1] == pole_y))
            .map(|[a, b]| a[0] + (b[0] - a[0]) * (parallel - a[1]) / (b[1] - a[1]))
            .filter(|x| (-180.0..180.0).contains(x))
            .chain([-180.0, 180.0])
            .collect();
        cuts.sort_by(f64::total_cmp);
        let inside = cuts
            .windows(2)
            // Narrower than this, a sector is the rounding of one cut.
            .filter(|pair| pair[1] - pair[0] > 1e-9)
            .all(|pair| {
                self.side_off_poles(f64::midpoint(pair[0], pair[1]), parallel) == Side::Inside
            });
        Some(if inside { Side::Inside } else { Side::Edge })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pole {
    North,
    South,
}

impl Pole {
    fn latitude(self) -> f64 {
        match self {
            Self::North => 90.0,
            Self::South => -90.0,
        }
    }
}

/// The edges within the strip. One across the antimeridian is written from each of its ends.
fn unroll(corners: &[Vertex], steps: &[Step]) -> Vec<Segment> {
    let mut segments = Vec::with_capacity(corners.len() + 2);
    for (index, (a, step)) in corners.iter().zip(steps).enumerate() {
        let b = corners[(index + 1) % corners.len()];
        let shift = 360.0 * f64::from(step.turns());
        segments.push(Segment::new([a.x, a.y], [b.x + shift, b.y], a.index));
        if *step != Step::Straight {
            segments.push(Segment::new([a.x - shift, a.y], [b.x, b.y], a.index));
        }
    }
    segments
}

/// Refuses a ring that goes round nothing, by the plane area of its unrolled outline.
fn check_area(corners: &[Vertex], steps: &[Step]) -> Result<(), AreaProblem> {
    let origin = corners[0];
    let (mut x, mut y) = (0.0_f64, 0.0_f64);
    let (mut doubled, mut width, mut height, mut turns) = (0.0_f64, 0.0_f64, 0.0_f64, 0);
    for (index, step) in steps.iter().enumerate() {
        let next = corners[(index + 1) % corners.len()];
        turns += step.turns();
        let next_x = next.x - origin.x + 360.0 * f64::from(turns);
        let next_y = next.y - origin.y;
        doubled += x * next_y - next_x * y;
        (x, y) = (next_x, next_y);
        (width, height) = (width.max(x.abs()), height.max(y.abs()));
    }
    // Relative to the box, because rounding leaves a slanted line a little area.
    if doubled.abs() <= 1e-12 * width * height { Err(AreaProblem::NoArea) } else { Ok(()) }
}

/// The pole that a ring round the globe encloses: that of its hemisphere.
fn enclosed_pole(corners: &[Vertex]) -> Result<Pole, AreaProblem> {
    let north = corners.iter().any(|corner| corner.y > 0.0);
    let south = corners.iter().any(|corner| corner.y < 0.0);
    if corners.iter().all(|corner| corner.y.abs() == 90.0) {
        return Err(AreaProblem::NoArea);
    }
    match (north, south) {
        (true, false) => Ok(Pole::North),
        (false, true) => Ok(Pole::South),
        _ => Err(AreaProblem::WhichPole),
    }
}

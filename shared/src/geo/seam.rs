//! How each edge of a ring goes: straight, or across the antimeridian, and how often the whole
//! ring goes round the globe. This is the one place that reads meaning into longitudes that jump.
//!
//! An edge is a straight line in longitude and latitude (RFC 7946, section 3.1.1). RFC 7946 asks
//! writers to split what crosses the antimeridian; those who do not are understood:
//! - an edge that spans up to 180 degrees of longitude goes straight, as written;
//! - one that spans more goes the short way, across the antimeridian;
//! - one from -180 to 180 is no way at all if the ring passes through there (170, 180, -180,
//!   -170), and all the way round if it does not (the world as a box, a polar cap as a box) or if
//!   it lies on a pole (the outline of Antarctica). Where that is open, the ring is refused.

use super::error::AreaProblem;

/// A position of a ring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Vertex {
    /// Longitude, -180 to 180 degrees.
    pub(super) x: f64,
    /// Latitude, -90 to 90 degrees.
    pub(super) y: f64,
    /// Its index in the ring as written.
    pub(super) index: usize,
}

/// How an edge goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A straight line between its positions as written.
    Straight,
    /// Eastwards across the antimeridian.
    East,
    /// Westwards across the antimeridian.
    West,
}

impl Step {
    /// Whole turns to add to the longitude of the edge's end to continue from its beginning.
    pub(super) fn turns(self) -> i32 {
        match self {
            Self::Straight => 0,
            Self::East => 1,
            Self::West => -1,
        }
    }
}

/// The corners of a closed ring without repetitions (the last position repeats the first).
pub(super) fn corners(positions: impl Iterator<Item = [f64; 2]>) -> Vec<Vertex> {
    let mut corners: Vec<Vertex> = Vec::new();
    for (index, [x, y]) in positions.enumerate() {
        if corners.last().is_none_or(|last| [last.x, last.y] != [x, y]) {
            corners.push(Vertex { x, y, index });
        }
    }
    if let [first, .., last] = &corners[..]
        && [first.x, first.y] == [last.x, last.y]
    {
        corners.pop();
    }
    corners
}

/// How the edge from each corner to the next one goes.
///
/// # Errors
/// [`AreaProblem::Seam`] where an edge from -180 to 180 could mean two things.
pub(super) fn steps(corners: &[Vertex]) -> Result<Vec<Step>, AreaProblem> {
    let count = corners.len();
    let span = |edge: usize| corners[(edge + 1) % count].x - corners[edge].x;
    let by_span = |span: f64| match span {
        span if span < -180.0 => Step::East,
        span if span > 180.0 => Step::West,
        _ => Step::Straight,
    };
    // The direction a neighbour of a seam edge takes: with its span, or against it if that goes
    // over the seam.
    let direction = |edge: usize| match by_span(span(edge)) {
        Step::Straight => span(edge).partial_cmp(&0.0),
        Step::East => Some(std::cmp::Ordering::Greater),
        Step::West => Some(std::cmp::Ordering::Less),
    };
    let is_seam = |edge: usize| span(edge).abs() == 360.0;
    let on_pole = |edge: usize| {
        let (a, b) = (corners[edge].y, corners[(edge + 1) % count].y);
        a == b && a.abs() == 90.0
    };
    let passes = |edge: usize| {
        let onwards = direction(edge);
        !on_pole(edge)
            && direction((edge + count - 1) % count) == onwards
            && direction((edge + 1) % count) == onwards
    };

    let seams: Vec<usize> = (0..count).filter(|&edge| is_seam(edge)).collect();
    let crosses = (0..count).any(|edge| !is_seam(edge) && by_span(span(edge)) != Step::Straight);
    let doubtful = |edge: usize| Err(AreaProblem::Seam { position: corners[edge].index });
    if !crosses && !seams.iter().any(|&edge| passes(edge)) {
        return Ok(vec![Step::Straight; count]);
    }
    if let Some(&edge) = seams.iter().find(|&&edge| !passes(edge)) {
        return doubtful(edge);
    }
    let steps: Vec<Step> = (0..count).map(|edge| by_span(span(edge))).collect();
    // Round the globe with a position at both ends: a ring about a pole, if the line that closes
    // it would enclose nothing along the other way.
    match seams.first() {
        Some(&edge)
            if !crosses
                && steps.iter().map(|step| step.turns()).sum::<i32>() != 0
                && encloses_as_written(corners) =>
        {
            doubtful(edge)
        }
        _ => Ok(steps),
    }
}

/// Whether the ring has a plane area with every edge straight as written.
fn encloses_as_written(corners: &[Vertex]) -> bool {
    let origin = corners[0];
    let doubled: f64 = corners
        .windows(2)
        .map(|pair| (pair[0], pair[1]))
        .map(|(a, b)| (a.x - origin.x) * (b.y - origin.y) - (b.x - origin.x) * (a.y - origin.y))
        .sum();
    // Square degrees; far below what anyone draws round the globe, far above rounding.
    doubled.abs() > 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_of(positions: &[[f64; 2]]) -> Result<Vec<i32>, AreaProblem> {
        steps(&corners(positions.iter().copied()))
            .map(|steps| steps.into_iter().map(Step::turns).collect())
    }

    #[test]
    fn an_edge_takes_the_short_way() {
        let fiji = [[177.0, -20.0], [-178.0, -20.0], [-178.0, -15.0], [177.0, -15.0]];
        assert_eq!(steps_of(&fiji), Ok(vec![1, 0, -1, 0]));
        // 180 degrees exactly goes as written.
        assert_eq!(steps_of(&[[-90.0, 0.0], [90.0, 0.0], [0.0, 9.0]]), Ok(vec![0, 0, 0]));
    }

    #[test]
    fn an_edge_along_the_whole_globe_stays_one_in_a_box() {
        let world = [[-180.0, -90.0], [180.0, -90.0], [180.0, 90.0], [-180.0, 90.0]];
        assert_eq!(steps_of(&world), Ok(vec![0, 0, 0, 0]));
    }

    #[test]
    fn a_ring_that_passes_through_the_seam_does_not_turn_there() {
        let fiji = [
            [170.0, -10.0],
            [180.0, -10.0],
            [-180.0, -10.0],
            [-170.0, -10.0],
            [-170.0, 10.0],
            [-180.0, 10.0],
            [180.0, 10.0],
            [170.0, 10.0],
        ];
        assert_eq!(steps_of(&fiji), Ok(vec![0, 1, 0, 0, 0, -1, 0, 0]));
        let round = [[-180.0, -60.0], [0.0, -60.0], [180.0, -60.0]];
        assert_eq!(steps_of(&round), Ok(vec![0, 0, 1]));
    }

    #[test]
    fn an_edge_along_a_pole_is_straight() {
        let cap = [[-180.0, 90.0], [180.0, 90.0], [0.0, 60.0]];
        assert_eq!(steps_of(&cap), Ok(vec![0, 0, 0]));
    }

    #[test]
    fn a_seam_that_could_mean_two_things_is_refused() {
        let sloppy =
            [[180.0, -10.0], [-180.0, -10.0], [-170.0, -10.0], [-170.0, 10.0], [180.0, 10.0]];
        assert_eq!(steps_of(&sloppy), Err(AreaProblem::Seam { position: 0 }));
        // The cap south of this line, or the band between it and the parallel of its ends?
        let coast = [[-180.0, -80.0], [-60.0, -65.0], [60.0, -65.0], [180.0, -80.0]];
        assert_eq!(steps_of(&coast), Err(AreaProblem::Seam { position: 3 }));
    }

    #[test]
    fn repeated_positions_are_one_corner() {
        let positions = [[1.0, 1.0], [1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 1.0], [1.0, 1.0]];
        let indices: Vec<usize> =
            corners(positions.into_iter()).iter().map(|corner| corner.index).collect();
        assert_eq!(indices, [0, 2, 3]);
        assert_eq!(corners([[1.0, 1.0]; 4].into_iter()).len(), 1);
    }
}

//! A ring's edges as plane segments under a tree of boxes. Answers the two questions asked of
//! them: what a meridian meets at a point, and whether two of them cross.

use geo::kernels::{Kernel, RobustKernel};
use geo::{Coord, Orientation};

/// Children per box. Edges follow the outline, so neighbours in the list are neighbours in space.
const FAN: usize = 8;

/// A straight line in longitude and latitude; `x` may lie beyond ±180.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// The western end (of a vertical one: the southern).
    left: Coord<f64>,
    /// The eastern end.
    right: Coord<f64>,
    /// Index of the ring's position where the edge begins.
    position: usize,
}

impl Segment {
    pub(super) fn new(a: [f64; 2], b: [f64; 2], position: usize) -> Self {
        let (left, right) = if a <= b { (a, b) } else { (b, a) };
        Self { left: left.into(), right: right.into(), position }
    }

    /// Both ends, west to east: longitude and latitude.
    pub(super) fn ends(&self) -> [[f64; 2]; 2] {
        [self.left.into(), self.right.into()]
    }

    fn extent(&self) -> Extent {
        Extent {
            west: self.left.x,
            east: self.right.x,
            south: self.left.y.min(self.right.y),
            north: self.left.y.max(self.right.y),
        }
    }

    /// Whether the two cross at a point inside both. Touching is not crossing.
    fn crosses(&self, other: &Self) -> bool {
        let apart = |line: &Self, points: &Self| {
            let side = |point| RobustKernel::orient2d(line.left, line.right, point);
            matches!(
                (side(points.left), side(points.right)),
                (Orientation::Clockwise, Orientation::CounterClockwise)
                    | (Orientation::CounterClockwise, Orientation::Clockwise)
            )
        };
        apart(self, other) && apart(other, self)
    }
}

/// A box, its bounds included, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    pub(super) west: f64,
    pub(super) east: f64,
    pub(super) south: f64,
    pub(super) north: f64,
}

impl Extent {
    const EMPTY: Self = Self {
        west: f64::INFINITY,
        east: f64::NEG_INFINITY,
        south: f64::INFINITY,
        north: f64::NEG_INFINITY,
    };

    fn with(self, other: Self) -> Self {
        Self {
            west: self.west.min(other.west),
            east: self.east.max(other.east),
            south: self.south.min(other.south),
            north: self.north.max(other.north),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.west <= other.east
            && other.west <= self.east
            && self.south <= other.north
            && other.south <= self.north
    }
}

/// What the meridian north of a point meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meets {
    /// The point lies on a segment.
    Point,
    /// An odd number of segments, counted just east of the meridian.
    Odd,
    /// An even number.
    Even,
}

/// What looking for crossings found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crossing {
    /// Two edges cross; the positions where they begin, the smaller first.
    Found(usize, usize),
    /// The budget was used up.
    GaveUp,
}

/// Segments in the order of the outline, and boxes round groups of them, groups of groups, and
/// so on up to one box round all.
#[derive(Debug)]
pub(super) struct Segments {
    segments: Vec<Segment>,
    /// `levels[0]` boxes `FAN` segments each, `levels[n]` boxes `FAN` of `levels[n - 1]`.
    levels: Vec<Vec<Extent>>,
}

impl Segments {
    pub(super) fn new(segments: Vec<Segment>) -> Self {
        let extents: Vec<Extent> = segments.iter().map(Segment::extent).collect();
        let mut levels = vec![grouped(&extents)];
        while levels[levels.len() - 1].len() > 1 {
            levels.push(grouped(&levels[levels.len() - 1]));
        }
        Self { segments, levels }
    }

    pub(super) fn as_slice(&self) -> &[Segment] {
        &self.segments
    }

    /// The box round all.
    pub(super) fn extent(&self) -> Extent {
        self.levels[self.levels.len() - 1].first().copied().unwrap_or(Extent::EMPTY)
    }

    /// What the meridian from (x, y) northwards meets. Exact, up to the rounding of the segments'
    /// own ends.
    pub(super) fn meridian(&self, x: f64, y: f64) -> Meets {
        let mut odd = false;
        if self.climb(self.levels.len(), 0, Coord { x, y }, &mut odd) {
            Meets::Point
        } else if odd {
            Meets::Odd
        } else {
            Meets::Even
        }
    }

    /// Flips `odd` for every segment met below one node; true if the point lies on one. Level 0
    /// is the segments, level n the boxes of `levels[n - 1]`.
    fn climb(&self, level: usize, node: usize, point: Coord<f64>, odd: &mut bool) -> bool {
        let Some(below) = level.checked_sub(1) else {
            return touch(&self.segments[node], point, odd);
        };
        let extent = &self.levels[below][node];
        if point.x < extent.west || point.x > extent.east || point.y > extent.north {
            return false;
        }
        self.children(below, node).any(|child| self.climb(below, child, point, odd))
    }

    fn children(&self, level: usize, node: usize) -> std::ops::Range<usize> {
        let count = match level.checked_sub(1) {
            None => self.segments.len(),
            Some(below) => self.levels[below].len(),
        };
        node * FAN..((node + 1) * FAN).min(count)
    }

    /// Two edges that cross, if there are any. Every comparison takes one from `budget`.
    pub(super) fn crossing(&self, budget: &mut u64) -> Option<Crossing> {
        self.crossing_below(self.levels.len(), [0, 0], budget)
    }

    fn crossing_below(
        &self,
        level: usize,
        [a, b]: [usize; 2],
        budget: &mut u64,
    ) -> Option<Crossing> {
        *budget = match budget.checked_sub(1) {
            Some(left) => left,
            None => return Some(Crossing::GaveUp),
        };
        let Some(below) = level.checked_sub(1) else {
            let (first, second) = (&self.segments[a], &self.segments[b]);
            let crosses = first.extent().overlaps(&second.extent()) && first.crosses(second);
            let (first, second) = (first.position, second.position);
            return crosses.then(|| Crossing::Found(first.min(second), first.max(second)));
        };
        let boxes = &self.levels[below];
        if !boxes[a].overlaps(&boxes[b]) {
            return None;
        }
        for first in self.children(below, a) {
            let others = self.children(below, b);
            for second in others.start.max(first)..others.end {
                if let Some(found) = self.crossing_below(below, [first, second], budget) {
                    return Some(found);
                }
            }
        }
        None
    }
}

fn grouped(extents: &[Extent]) -> Vec<Extent> {
    let around = |group: &[Extent]| group.iter().copied().fold(Extent::EMPTY, Extent::with);
    extents.chunks(FAN).map(around).collect()
}

/// Flips `odd` if the meridian north of `point` meets the segment; true if the point lies on it.
fn touch(segment: &Segment, point: Coord<f64>, odd: &mut bool) -> bool {
    let Segment { left, right, .. } = *segment;
    if point.x < left.x || point.x > right.x {
        return false;
    }
    if left.x == right.x {
        return (left.y..=right.y).contains(&point.y);
    }
    match RobustKernel::orient2d(left, right, point) {
        Orientation::Collinear => true,
        // South of the segment. An end counts for the segment that leaves it eastwards, so that
        // an outline passing through a meridian counts once and one turning there not at all.
        Orientation::Clockwise => {
            *odd ^= point.x < right.x;
            false
        }
        Orientation::CounterClockwise => false,
    }
}

//! Why a GeoJSON value is not an area: where in it, what is wrong, and what to write instead.

use super::geojson::{POSITIONS_MAX, RINGS_MAX};
use super::position::GeoError;

/// A problem and where it is. Displays as the problem's sentence, without the pointer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{problem}")]
pub struct AreaError {
    pointer: String,
    problem: AreaProblem,
}

impl AreaError {
    pub(super) fn new(pointer: impl Into<String>, problem: AreaProblem) -> Self {
        Self { pointer: pointer.into(), problem }
    }

    /// JSON pointer of the offending value relative to the area: `/coordinates/0/3`; empty for
    /// the area itself.
    #[must_use]
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// What is wrong there.
    #[must_use]
    pub fn problem(&self) -> &AreaProblem {
        &self.problem
    }
}

/// What is wrong with an area, as a sentence a person can act on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AreaProblem {
    /// The area is not a JSON object.
    #[error(
        "an area must be a GeoJSON object such as {{\"type\": \"Polygon\", \"coordinates\": [[[144.9, -37.9], ...]]}}, not {found}"
    )]
    NotAnObject {
        /// What it is.
        found: String,
    },
    /// `type` or `coordinates` is missing.
    #[error("`{member}` is missing; an area needs `type` and `coordinates`")]
    Missing {
        /// The missing member.
        member: &'static str,
    },
    /// A member beside `type` and `coordinates`.
    #[error("an area holds `type` and `coordinates` and nothing else; remove `{member}`")]
    Unknown {
        /// The member.
        member: String,
    },
    /// Another GeoJSON type, or none.
    #[error(
        "the type of an area must be \"Polygon\" or \"MultiPolygon\", not {found}; of a Feature give its `geometry`"
    )]
    Type {
        /// What it is.
        found: String,
    },
    /// Something that must be a list is not.
    #[error("{expected} must be a list, not {found}")]
    NotAList {
        /// What should stand there.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// A list that must not be empty is.
    #[error("{what} needs at least one {part}")]
    Empty {
        /// What the list is.
        what: &'static str,
        /// What it lacks.
        part: &'static str,
    },
    /// Too many rings in all.
    #[error("an area may have at most {RINGS_MAX} rings; leave out the smallest ones")]
    TooManyRings,
    /// Too many positions in all.
    #[error("an area may have at most {POSITIONS_MAX} positions; simplify its outline")]
    TooManyPositions,
    /// A ring with too few positions to enclose anything.
    #[error("a ring needs at least 4 positions, the last equal to the first; this one has {count}")]
    TooFewPositions {
        /// How many it has.
        count: usize,
    },
    /// A ring that does not end where it began.
    #[error(
        "a ring must end where it began: the last position must equal the first, [{longitude}, {latitude}]"
    )]
    Unclosed {
        /// Longitude of the first position, in degrees.
        longitude: f64,
        /// Latitude of the first position, in degrees.
        latitude: f64,
    },
    /// A position with fewer than two or more than three numbers.
    #[error(
        "a position is [longitude, latitude] or [longitude, latitude, altitude], not {count} numbers"
    )]
    PositionLength {
        /// How many numbers it has.
        count: usize,
    },
    /// A coordinate that is not a number.
    #[error("{what} must be a number, not {found}")]
    NotANumber {
        /// What should stand there.
        what: &'static str,
        /// What does.
        found: String,
    },
    /// A coordinate out of range.
    #[error("{0}; GeoJSON writes [longitude, latitude]")]
    OutOfRange(GeoError),
    /// Two edges of a ring cross.
    #[error(
        "the ring crosses itself: the edge from position {first} and the edge from position {second} intersect; list the positions in order along the outline"
    )]
    Crossing {
        /// Index of the position where the first edge begins.
        first: usize,
        /// Index of the position where the second edge begins.
        second: usize,
    },
    /// The edges lie so close and parallel that looking for crossings would take too long.
    #[error(
        "the rings have too many long edges close beside each other to be checked; simplify the outline"
    )]
    Tangled,
    /// A ring without an inside.
    #[error("the ring encloses no area; its positions must not all lie on one line or cancel out")]
    NoArea,
    /// A ring that goes round the globe more than once.
    #[error("the ring goes round the globe more than once; no edge may span more than 180 degrees")]
    Turns,
    /// A ring round the globe, on both sides of the equator.
    #[error(
        "the ring goes round the globe and touches both hemispheres, so it is not clear which pole it encloses; keep it on one side of the equator, or write the area from longitude -180 to 180 with the pole's corners [-180, 90] and [180, 90] (or -90)"
    )]
    WhichPole,
    /// An edge from -180 to 180 whose meaning is open.
    #[error(
        "the edge from position {position} goes from one side of the antimeridian to the other, which may mean all the way round or no way at all; if round, add a position at longitude 0 between the two; if not, leave one of the two out"
    )]
    Seam {
        /// Index of the position where the edge begins.
        position: usize,
    },
}

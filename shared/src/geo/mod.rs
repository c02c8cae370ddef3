//! Geography on the sphere: positions, great-circle distances, and areas written as GeoJSON.
//! Everything is checked where it enters; what holds a [`Position`] or an [`Area`] holds a valid
//! one. Pure arithmetic, no I/O.

mod area;
mod cap;
mod distance;
mod error;
mod geojson;
mod position;
mod ring;
mod seam;
mod segments;
mod turn;

pub use area::Area;
pub use cap::Cap;
pub use distance::{DISTANCE_M_MAX, EARTH_RADIUS_M, arc_m, chord_m, chord_squared, distance_m};
pub use error::{AreaError, AreaProblem};
pub use geojson::{POSITIONS_MAX, RINGS_MAX};
pub use position::{GeoError, Position};

#[cfg(test)]
mod area_examples;
#[cfg(test)]
mod area_properties;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod samples;

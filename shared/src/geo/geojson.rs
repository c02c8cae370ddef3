//! Areas as they are written: a GeoJSON Polygon or MultiPolygon (RFC 7946), checked number by
//! number and kept as it came, so that what is written back equals what was read. Shapes only;
//! what they mean on the sphere is for [`super::ring`] to say.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Number, Value};

use super::error::{AreaError, AreaProblem};
use super::position::Position;
use crate::border::{describe, escape};

/// The most positions an area may have, the closing ones counted.
pub const POSITIONS_MAX: usize = 10_000;

/// The most rings an area may have, holes counted.
pub const RINGS_MAX: usize = 1_000;

/// A checked geometry. Every ring has four positions or more and is closed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Geometry {
    /// Written as a MultiPolygon, even if it has one polygon only.
    multi: bool,
    /// Each polygon: its shell, then its holes.
    pub(super) polygons: Vec<Vec<Vec<Coordinate>>>,
}

/// One position with its numbers as they were written: `5` and `5.0` are told apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Coordinate {
    longitude: Number,
    latitude: Number,
    /// Kept, and without meaning: an area has no height.
    altitude: Option<Number>,
}

impl Coordinate {
    /// Longitude and latitude in degrees.
    pub(super) fn degrees(&self) -> [f64; 2] {
        // Each was a finite number when it was read, so there is always one to give back.
        [&self.longitude, &self.latitude].map(|number| number.as_f64().unwrap_or_default())
    }
}

/// What has been read of one area, to hold its limits before anything is kept.
#[derive(Default)]
struct Count {
    rings: usize,
    positions: usize,
}

impl Geometry {
    /// Reads a geometry.
    ///
    /// # Errors
    /// The first problem found, with its pointer.
    pub(super) fn read(value: &Value) -> Result<Self, AreaError> {
        let at_top = |problem| AreaError::new("", problem);
        let Value::Object(members) = value else {
            return Err(at_top(AreaProblem::NotAnObject { found: describe(value) }));
        };
        let member = |member: &'static str| {
            members.get(member).ok_or_else(|| at_top(AreaProblem::Missing { member }))
        };
        let multi = match member("type")? {
            Value::String(name) if name == "Polygon" => false,
            Value::String(name) if name == "MultiPolygon" => true,
            other => {
                let problem = AreaProblem::Type { found: describe(other) };
                return Err(AreaError::new("/type", problem));
            }
        };
        let coordinates = member("coordinates")?;
        if let Some(name) = members.keys().find(|name| !matches!(&***name, "type" | "coordinates"))
        {
            let problem = AreaProblem::Unknown { member: name.chars().take(40).collect() };
            return Err(AreaError::new(format!("/{}", escape(name)), problem));
        }
        let mut count = Count::default();
        let polygons = if multi {
            let part = |value: &Value, pointer: &str| polygon(value, pointer, &mut count);
            list(coordinates, "/coordinates", ["a MultiPolygon", "polygon"], part)?
        } else {
            vec![polygon(coordinates, "/coordinates", &mut count)?]
        };
        Ok(Self { multi, polygons })
    }

    /// The pointer of a polygon's ring.
    pub(super) fn pointer(&self, polygon: usize, ring: usize) -> String {
        if self.multi {
            format!("/coordinates/{polygon}/{ring}")
        } else {
            format!("/coordinates/{ring}")
        }
    }
}

/// Reads a list that must not be empty, each item with its pointer.
fn list<T>(
    value: &Value,
    pointer: &str,
    [what, part]: [&'static str; 2],
    mut read: impl FnMut(&Value, &str) -> Result<T, AreaError>,
) -> Result<Vec<T>, AreaError> {
    let Value::Array(items) = value else {
        let problem = AreaProblem::NotAList { expected: what, found: describe(value) };
        return Err(AreaError::new(pointer, problem));
    };
    if items.is_empty() {
        return Err(AreaError::new(pointer, AreaProblem::Empty { what, part }));
    }
    let item = |(index, item)| read(item, &format!("{pointer}/{index}"));
    items.iter().enumerate().map(item).collect()
}

fn polygon(
    value: &Value,
    pointer: &str,
    count: &mut Count,
) -> Result<Vec<Vec<Coordinate>>, AreaError> {
    list(value, pointer, ["a polygon", "ring"], |value, pointer| ring(value, pointer, count))
}

fn ring(value: &Value, pointer: &str, count: &mut Count) -> Result<Vec<Coordinate>, AreaError> {
    count.rings += 1;
    if count.rings > RINGS_MAX {
        return Err(AreaError::new("/coordinates", AreaProblem::TooManyRings));
    }
    let coordinates = list(value, pointer, ["a ring", "position"], |value, pointer| {
        count.positions += 1;
        if count.positions > POSITIONS_MAX {
            return Err(AreaError::new("/coordinates", AreaProblem::TooManyPositions));
        }
        coordinate(value, pointer)
    })?;
    if coordinates.len() < 4 {
        let problem = AreaProblem::TooFewPositions { count: coordinates.len() };
        return Err(AreaError::new(pointer, problem));
    }
    let [longitude, latitude] = coordinates[0].degrees();
    let last = coordinates.len() - 1;
    if coordinates[last].degrees() != [longitude, latitude] {
        let problem = AreaProblem::Unclosed { longitude, latitude };
        return Err(AreaError::new(format!("{pointer}/{last}"), problem));
    }
    Ok(coordinates)
}

fn coordinate(value: &Value, pointer: &str) -> Result<Coordinate, AreaError> {
    let Value::Array(numbers) = value else {
        let problem = AreaProblem::NotAList { expected: "a position", found: describe(value) };
        return Err(AreaError::new(pointer, problem));
    };
    let count = numbers.len();
    if !(2..=3).contains(&count) {
        return Err(AreaError::new(pointer, AreaProblem::PositionLength { count }));
    }
    let number = |index: usize, what: &'static str| {
        let value = &numbers[index];
        match (value, value.as_f64().filter(|number| number.is_finite())) {
            (Value::Number(number), Some(degrees)) => Ok((number.clone(), degrees)),
            _ => {
                let problem = AreaProblem::NotANumber { what, found: describe(value) };
                Err(AreaError::new(format!("{pointer}/{index}"), problem))
            }
        }
    };
    let (longitude, longitude_degrees) = number(0, "a longitude")?;
    let (latitude, latitude_degrees) = number(1, "a latitude")?;
    let altitude = match count {
        3 => Some(number(2, "an altitude")?.0),
        _ => None,
    };
    Position::new(latitude_degrees, longitude_degrees)
        .map_err(|error| AreaError::new(pointer, AreaProblem::OutOfRange(error)))?;
    Ok(Coordinate { longitude, latitude, altitude })
}

impl Serialize for Coordinate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(2 + usize::from(self.altitude.is_some())))?;
        list.serialize_element(&self.longitude)?;
        list.serialize_element(&self.latitude)?;
        if let Some(altitude) = &self.altitude {
            list.serialize_element(altitude)?;
        }
        list.end()
    }
}

impl Serialize for Geometry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(2))?;
        if self.multi {
            members.serialize_entry("type", "MultiPolygon")?;
            members.serialize_entry("coordinates", &self.polygons)?;
        } else {
            members.serialize_entry("type", "Polygon")?;
            members.serialize_entry("coordinates", self.polygons.first().unwrap_or(&Vec::new()))?;
        }
        members.end()
    }
}

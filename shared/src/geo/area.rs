//! Areas on the Earth: a GeoJSON Polygon or MultiPolygon, and which places it contains.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::cap::{Cap, SAMPLES};
use super::error::AreaError;
use super::geojson::Geometry;
use super::position::Position;
use super::ring::{Ring, Side};

/// Comparisons an area may cost when it is checked for crossing edges: some tens of milliseconds
/// at worst. An ordinary outline of 10,000 positions takes a tenth of it.
const CROSSING_BUDGET: u64 = 4_000_000;

/// An area on the Earth, cheap to clone. It is written as the very GeoJSON it was read from.
///
/// What it means:
/// - Edges are straight lines in longitude and latitude, as RFC 7946 has them: the edge between
///   two places on one parallel follows the parallel, not the great circle.
/// - An edge that spans more than 180 degrees of longitude crosses the antimeridian the short
///   way; areas split there into a MultiPolygon work too.
/// - A ring that goes once round the globe encloses the pole of its hemisphere.
/// - Either winding is understood. Altitudes are kept and have no meaning.
/// - Edges belong to the area, those of holes too.
/// - Of several polygons, a place must be in one. Holes take away from their own polygon's shell
///   only; what of a hole lies outside the shell is without effect.
///
/// Refused: rings that cross themselves, enclose nothing or go round more than once, and more
/// than [`super::POSITIONS_MAX`] positions or [`super::RINGS_MAX`] rings. A ring may touch itself
/// and run back along its own edge; the even-odd rule then tells inside from outside.
#[derive(Clone)]
pub struct Area(Arc<Parts>);

struct Parts {
    geometry: Geometry,
    polygons: Vec<Polygon>,
    bounds: OnceLock<Cap>,
}

struct Polygon {
    shell: Ring,
    holes: Vec<Ring>,
}

impl Area {
    /// Reads an area.
    ///
    /// # Errors
    /// The first problem, with a JSON pointer relative to `value`.
    pub fn from_geojson(value: &Value) -> Result<Self, AreaError> {
        let geometry = Geometry::read(value)?;
        let mut budget = CROSSING_BUDGET;
        let mut polygons = Vec::with_capacity(geometry.polygons.len());
        for (index, rings) in geometry.polygons.iter().enumerate() {
            let mut read = Vec::with_capacity(rings.len());
            for (ring_index, positions) in rings.iter().enumerate() {
                let degrees = positions.iter().map(|position| position.degrees());
                let ring = Ring::new(degrees, &mut budget).map_err(|problem| {
                    AreaError::new(geometry.pointer(index, ring_index), problem)
                })?;
                read.push(ring);
            }
            let mut rings = read.into_iter();
            polygons.extend(rings.next().map(|shell| Polygon { shell, holes: rings.collect() }));
        }
        Ok(Self(Arc::new(Parts { geometry, polygons, bounds: OnceLock::new() })))
    }

    /// Whether a place is in the area or on its edge.
    #[must_use]
    pub fn contains(&self, place: Position) -> bool {
        self.0.polygons.iter().any(|polygon| polygon.contains(place))
    }

    /// A cap that holds the whole area. Made at the first call (about a millisecond), then kept.
    #[must_use]
    pub fn bounds(&self) -> Cap {
        *self.0.bounds.get_or_init(|| {
            let shells = self.0.polygons.iter().map(|polygon| &polygon.shell);
            let encloses = |place| shells.clone().any(|shell| shell.side(place) != Side::Outside);
            Cap::around(shells.clone().flat_map(Ring::segments), encloses, SAMPLES)
        })
    }
}

impl Polygon {
    fn contains(&self, place: Position) -> bool {
        self.shell.side(place) != Side::Outside
            && self.holes.iter().all(|hole| hole.side(place) != Side::Inside)
    }
}

/// Equal when written alike.
impl PartialEq for Area {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.geometry == other.0.geometry
    }
}

impl Eq for Area {}

/// Its size only: an outline may have thousands of positions.
impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rings = || self.0.geometry.polygons.iter().flatten();
        f.debug_struct("Area")
            .field("polygons", &self.0.geometry.polygons.len())
            .field("rings", &rings().count())
            .field("positions", &rings().map(Vec::len).sum::<usize>())
            .finish()
    }
}

impl Serialize for Area {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.geometry.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Area {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::from_geojson(&value).map_err(|error| match error.pointer() {
            "" => de::Error::custom(error),
            pointer => de::Error::custom(format_args!("at {pointer} of the area: {error}")),
        })
    }
}

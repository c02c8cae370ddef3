//! A place on the Earth. The only way to make one checks its ranges, so nothing behind the
//! border ever meets a latitude of 95 or a longitude that is not a number.

use serde::{Deserialize, Serialize};

use super::turn::sin_cos;

/// Why two numbers are not a place.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum GeoError {
    /// The latitude is not a number or outside its range.
    #[error("a latitude must lie between -90 and 90 degrees, {latitude} does not{}", hint(*swapped))]
    Latitude {
        /// What was given, in degrees.
        latitude: f64,
        /// The two numbers would be a place the other way round.
        swapped: bool,
    },
    /// The longitude is not a number or outside its range.
    #[error(
        "a longitude must lie between -180 and 180 degrees, {longitude} does not; write 190 east as -170"
    )]
    Longitude {
        /// What was given, in degrees.
        longitude: f64,
    },
}

fn hint(swapped: bool) -> &'static str {
    if swapped { "; latitude and longitude look swapped" } else { "" }
}

/// A place on the Earth: WGS84 degrees, always finite and in range. Written as
/// `{"latitude": .., "longitude": ..}`, and any other field is refused.
///
/// Equality compares the numbers: longitude 180 and -180 are one place but two values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Degrees")]
pub struct Position {
    latitude: f64,
    longitude: f64,
}

impl Position {
    /// Latitude 0, longitude 0.
    pub(super) const ORIGIN: Self = Self { latitude: 0.0, longitude: 0.0 };

    /// A place from its latitude (-90 to 90, north positive) and longitude (-180 to 180, east
    /// positive), in degrees.
    ///
    /// # Errors
    /// Names the number that is out of range or not finite.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, GeoError> {
        if !(-90.0..=90.0).contains(&latitude) {
            let swapped =
                (-180.0..=180.0).contains(&latitude) && (-90.0..=90.0).contains(&longitude);
            return Err(GeoError::Latitude { latitude, swapped });
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(GeoError::Longitude { longitude });
        }
        Ok(Self { latitude, longitude })
    }

    /// Degrees north of the equator, -90 to 90.
    #[must_use]
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east of Greenwich, -180 to 180.
    #[must_use]
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// The point on the unit sphere: x towards latitude 0 longitude 0, y towards longitude 90,
    /// z towards the North Pole. Straight-line distance between such points orders places as
    /// the great circle does. The same bits on every machine.
    #[must_use]
    pub fn unit_vector(self) -> [f64; 3] {
        unit_vector(self.latitude, self.longitude)
    }

    /// The place in the direction of a vector; `None` if it has none to speak of.
    pub(super) fn towards([x, y, z]: [f64; 3]) -> Option<Self> {
        let length = (x * x + y * y + z * z).sqrt();
        // A mean of unit vectors this short is rounding noise, and so would be its direction.
        if length.is_nan() || length < 1e-9 {
            return None;
        }
        let latitude = z.atan2(x.hypot(y)).to_degrees().clamp(-90.0, 90.0);
        let longitude = y.atan2(x).to_degrees().clamp(-180.0, 180.0);
        Self::new(latitude, longitude).ok()
    }
}

/// As [`Position::unit_vector`], for a longitude beyond ±180 too.
pub(super) fn unit_vector(latitude: f64, longitude: f64) -> [f64; 3] {
    let (sin_latitude, cos_latitude) = sin_cos(latitude);
    let (sin_longitude, cos_longitude) = sin_cos(longitude);
    [cos_latitude * cos_longitude, cos_latitude * sin_longitude, sin_latitude]
}

/// A position as it is written, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "Position")]
struct Degrees {
    latitude: f64,
    longitude: f64,
}

impl TryFrom<Degrees> for Position {
    type Error = GeoError;

    fn try_from(degrees: Degrees) -> Result<Self, GeoError> {
        Self::new(degrees.latitude, degrees.longitude)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_position_is_never_off_the_globe() {
        for (latitude, longitude) in [
            (90.000_001, 0.0),
            (-90.1, 0.0),
            (0.0, 180.1),
            (0.0, 999.0),
            (f64::NAN, 0.0),
            (0.0, f64::NAN),
            (f64::INFINITY, 0.0),
            (0.0, f64::NEG_INFINITY),
        ] {
            assert!(Position::new(latitude, longitude).is_err(), "{latitude} {longitude}");
        }
        for (latitude, longitude) in [(90.0, 180.0), (-90.0, -180.0), (0.0, -0.0)] {
            assert!(Position::new(latitude, longitude).is_ok(), "{latitude} {longitude}");
        }
    }

    #[test]
    fn swapped_coordinates_are_called_swapped() {
        let told = |latitude, longitude| {
            Position::new(latitude, longitude).expect_err("out of range").to_string()
        };
        assert!(told(144.96, -37.81).contains("look swapped"));
        assert!(!told(95.0, 120.0).contains("swapped"));
        assert!(told(0.0, 190.0).contains("-170"));
    }

    #[test]
    fn json_is_checked_at_the_border() {
        let read = |value: serde_json::Value| serde_json::from_value::<Position>(value);
        let melbourne = json!({"latitude": -37.81, "longitude": 144.96});
        let position = read(melbourne.clone()).expect("valid");
        assert_eq!(serde_json::to_value(position).expect("writes"), melbourne);
        for wrong in [
            json!({"latitude": 144.96, "longitude": -37.81}),
            json!({"latitude": 1.0}),
            json!({"latitude": 1.0, "longitude": 2.0, "altitude": 3.0}),
            json!({"latitude": "1", "longitude": 2.0}),
            json!({"latitude": 1.0, "longitude": null}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_position_can_be_flattened_beside_other_fields() {
        #[derive(Deserialize)]
        struct Near {
            #[serde(flatten)]
            position: Position,
            within_m: f64,
        }
        let near: Near =
            serde_json::from_value(json!({"latitude": 1, "longitude": 2, "within_m": 5}))
                .expect("valid");
        assert_eq!((near.position, near.within_m), (Position::new(1.0, 2.0).expect("valid"), 5.0));
    }

    proptest! {
        #[test]
        fn a_vector_leads_back_to_its_position(
            latitude in -89.9_f64..89.9, longitude in -179.9_f64..179.9,
        ) {
            let position = Position::new(latitude, longitude).expect("in range");
            let [x, y, z] = position.unit_vector();
            prop_assert!((x * x + y * y + z * z - 1.0).abs() < 1e-12);
            let back = Position::towards([3.0 * x, 3.0 * y, 3.0 * z]).expect("has a direction");
            prop_assert!((back.latitude() - latitude).abs() < 1e-9);
            prop_assert!((back.longitude() - longitude).abs() < 1e-9);
        }
    }

    #[test]
    fn the_axes_point_where_they_are_said_to() {
        let close = |latitude, longitude, expected: [f64; 3]| {
            let vector = Position::new(latitude, longitude).expect("in range").unit_vector();
            assert!(vector.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{vector:?}");
        };
        close(0.0, 0.0, [1.0, 0.0, 0.0]);
        close(0.0, 90.0, [0.0, 1.0, 0.0]);
        close(90.0, 17.0, [0.0, 0.0, 1.0]);
        close(-90.0, -120.0, [0.0, 0.0, -1.0]);
        assert_eq!(Position::towards([0.0, 0.0, 0.0]), None);
        assert_eq!(Position::towards([f64::NAN, 0.0, 0.0]), None);
    }
}

//! What the tests of this module share: places, areas, and strategies that make them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Area, AreaProblem, Position};

/// A place that is known to be one.
pub(super) fn position(latitude: f64, longitude: f64) -> Position {
    Position::new(latitude, longitude).expect("a test's place is valid")
}

/// The other end of the Earth's axis through a place.
pub(super) fn antipode(place: Position) -> Position {
    let west = if place.longitude() > 0.0 { -180.0 } else { 180.0 };
    position(-place.latitude(), place.longitude() + west)
}

/// Places all over the globe, among them many poles, seams and whole degrees.
pub(super) fn any_position() -> impl Strategy<Value = Position> {
    let latitude = prop_oneof![
        6 => -90.0_f64..=90.0,
        1 => (-90_i32..=90).prop_map(f64::from),
        1 => prop::sample::select(vec![-90.0, -89.999_999_9, 0.0, 89.999_999_9, 90.0]),
    ];
    let longitude = prop_oneof![
        6 => -180.0_f64..=180.0,
        1 => (-180_i32..=180).prop_map(f64::from),
        1 => prop::sample::select(vec![-180.0, -179.999_999_9, 0.0, 179.999_999_9, 180.0]),
    ];
    (latitude, longitude).prop_map(|(latitude, longitude)| position(latitude, longitude))
}

/// A ring as `[longitude, latitude]` pairs, not closed.
pub(super) type Open = Vec<[f64; 2]>;

/// The closed ring.
pub(super) fn closed(ring: &[[f64; 2]]) -> Vec<[f64; 2]> {
    ring.iter().copied().chain(ring.first().copied()).collect()
}

/// A Polygon of open rings.
pub(super) fn polygon_json(rings: &[Open]) -> Value {
    let rings: Vec<_> = rings.iter().map(|ring| closed(ring)).collect();
    json!({"type": "Polygon", "coordinates": rings})
}

/// A MultiPolygon of polygons of open rings.
pub(super) fn multi_json(polygons: &[Vec<Open>]) -> Value {
    let polygons: Vec<Value> =
        polygons.iter().map(|rings| polygon_json(rings)["coordinates"].clone()).collect();
    json!({"type": "MultiPolygon", "coordinates": polygons})
}

/// A Polygon that is known to be valid.
pub(super) fn area(rings: &[Open]) -> Area {
    let value = polygon_json(rings);
    Area::from_geojson(&value).unwrap_or_else(|error| panic!("{error} in {value}"))
}

/// Why a Polygon of one ring is refused.
pub(super) fn refusal(ring: &[[f64; 2]]) -> AreaProblem {
    let value = polygon_json(&[ring.to_vec()]);
    Area::from_geojson(&value).expect_err("a ring to be refused").problem().clone()
}

/// A box as an open ring.
pub(super) fn rectangle(west: f64, south: f64, east: f64, north: f64) -> Open {
    vec![[west, south], [east, south], [east, north], [west, north]]
}

/// A longitude brought into -180 (included) to 180.
pub(super) fn wrapped(longitude: f64) -> f64 {
    (longitude + 180.0).rem_euclid(360.0) - 180.0
}

/// Whether an area has a place, given longitude first as the rings are.
pub(super) fn has(area: &Area, [longitude, latitude]: [f64; 2]) -> bool {
    area.contains(position(latitude, longitude))
}

/// Says which of the places an area has but should not, or has not but should.
pub(super) fn check(area: &Area, inside: &[[f64; 2]], outside: &[[f64; 2]]) {
    for &place in inside {
        assert!(has(area, place), "{place:?} should be inside");
        assert!(area.bounds().contains(position(place[1], place[0])), "{place:?} beyond bounds");
    }
    for &place in outside {
        assert!(!has(area, place), "{place:?} should be outside");
    }
}

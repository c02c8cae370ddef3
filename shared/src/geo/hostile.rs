//! Areas from people who mean harm or do not care: whatever comes, reading it never panics, a
//! refusal points at something that is there, and what is accepted keeps its promises.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::samples::{Open, any_position, has, multi_json, polygon_json, position};
use super::{Area, AreaProblem};

/// Any JSON, biased to what GeoJSON is made of.
fn any_json() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<f64>().prop_map(|number| json!(number)),
        any::<i64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        (-200_i32..200).prop_map(|number| json!(number)),
    ];
    let word = prop::sample::select(vec!["Polygon", "MultiPolygon", "type", "/~", "", "ü"]);
    let leaf = prop_oneof![
        4 => number,
        1 => any::<bool>().prop_map(Value::Bool),
        1 => Just(Value::Null),
        2 => word.prop_map(|word| json!(word)),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let key = prop::sample::select(vec!["type", "coordinates", "bbox", "a/b~c"]);
        prop_oneof![
            4 => prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            1 => prop::collection::vec((key, inner), 0..4)
                .prop_map(|members| members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

/// Rings of few, awkward numbers: poles, seams, repetitions, near misses.
fn awkward_ring() -> impl Strategy<Value = Open> {
    let longitude = prop::sample::select(vec![
        -180.0,
        -179.999_999_999_999_97,
        -170.0,
        -90.0,
        -1e-300,
        0.0,
        1e-17,
        90.0,
        170.0,
        179.5,
        180.0,
    ]);
    let latitude = prop::sample::select(vec![
        -90.0,
        -89.999_999_999_999_99,
        -60.0,
        -10.0,
        -0.0,
        5e-324,
        10.0,
        60.0,
        89.5,
        90.0,
    ]);
    prop::collection::vec((longitude, latitude).prop_map(|(x, y)| [x, y]), 3..9)
}

/// All pointers into a value.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), into);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                pointers(member, &format!("{at}/{name}"), into);
            }
        }
        _ => {}
    }
}

/// Reads, and checks all that must hold whatever was read.
fn read_and_check(value: &Value) -> Result<(), TestCaseError> {
    let area = match Area::from_geojson(value) {
        Ok(area) => area,
        Err(error) => {
            prop_assert!(value.pointer(error.pointer()).is_some(), "{}", error.pointer());
            prop_assert!(!error.to_string().is_empty());
            return Ok(());
        }
    };
    prop_assert_eq!(&serde_json::to_value(&area).expect("writes"), value);
    let text = serde_json::to_string(&area).expect("writes");
    prop_assert_eq!(&serde_json::from_str::<Area>(&text).expect("reads"), &area);
    let bounds = area.bounds();
    for latitude in [-90.0, -60.0, -10.0, 0.0, 10.0, 45.0, 90.0] {
        for longitude in [-180.0, -175.0, -90.0, 0.0, 90.0, 175.0, 180.0] {
            let place = position(latitude, longitude);
            prop_assert!(!area.contains(place) || bounds.contains(place), "{:?}", place);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_json_makes_it_panic(value in any_json()) {
        read_and_check(&value)?;
        read_and_check(&json!({"type": "Polygon", "coordinates": value}))?;
        read_and_check(&json!({"type": "MultiPolygon", "coordinates": value}))?;
    }

    #[test]
    fn no_change_to_a_valid_area_makes_it_panic(
        ring in awkward_ring(), multi in any::<bool>(),
        place in any::<prop::sample::Index>(), replacement in any_json(),
    ) {
        let mut value = match multi {
            true => multi_json(&[vec![ring.clone()], vec![ring]]),
            false => polygon_json(&[ring]),
        };
        let mut all = Vec::new();
        pointers(&value, "", &mut all);
        *value.pointer_mut(&all[place.index(all.len())]).expect("it was just listed") = replacement;
        read_and_check(&value)?;
    }

    #[test]
    fn what_is_accepted_keeps_its_promises(
        ring in awkward_ring(), places in prop::collection::vec(any_position(), 20),
        start in any::<prop::sample::Index>(),
    ) {
        let value = polygon_json(std::slice::from_ref(&ring));
        read_and_check(&value)?;
        let read = Area::from_geojson(&value);
        let mut other = ring.clone();
        other.rotate_left(start.index(ring.len()));
        other.reverse();
        let reversed = Area::from_geojson(&polygon_json(&[other]));
        prop_assert_eq!(read.is_ok(), reversed.is_ok(), "{:?} {:?}", read, reversed);
        let (Ok(area), Ok(reversed)) = (read, reversed) else { return Ok(()) };
        for &corner in &ring {
            prop_assert!(has(&area, corner), "{:?} is a corner", corner);
        }
        for place in places {
            let (y, x) = (place.latitude(), place.longitude());
            prop_assert_eq!(area.contains(place), reversed.contains(place), "{:?}", place);
            prop_assert_eq!(has(&area, [180.0, y]), has(&area, [-180.0, y]), "at {}", y);
            prop_assert_eq!(has(&area, [x, 90.0]), has(&area, [0.0, 90.0]));
            prop_assert_eq!(has(&area, [x, -90.0]), has(&area, [0.0, -90.0]));
        }
    }
}

#[test]
fn a_long_document_is_refused_at_its_limit() {
    let position = json!([1, 2]);
    let ring = Value::Array(vec![position; 200_000]);
    let refused = Area::from_geojson(&json!({"type": "Polygon", "coordinates": [ring]}));
    assert_eq!(refused.expect_err("too long").problem(), &AreaProblem::TooManyPositions);
}

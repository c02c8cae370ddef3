//! Areas by example: each meaning that [`super::Area`] promises, and each refusal.

use serde_json::json;

use super::samples::{area, check, multi_json, polygon_json, position, rectangle, refusal};
use super::{Area, AreaProblem};

#[test]
fn an_edge_along_a_parallel_follows_the_parallel() {
    // The great circle from (60, 0) to (60, 90) passes latitude 67.8.
    let sector = area(&[vec![[0.0, 0.0], [90.0, 0.0], [90.0, 60.0], [0.0, 60.0]]]);
    check(&sector, &[[45.0, 59.9]], &[[45.0, 60.1], [45.0, -0.1]]);
}

#[test]
fn fiji_is_on_the_antimeridian_and_not_in_africa() {
    let ways_to_write_it = [
        polygon_json(&[rectangle(177.0, -20.0, -178.0, -15.0)]),
        polygon_json(&[vec![
            [177.0, -20.0],
            [180.0, -20.0],
            [-180.0, -20.0],
            [-178.0, -20.0],
            [-178.0, -15.0],
            [-180.0, -15.0],
            [180.0, -15.0],
            [177.0, -15.0],
        ]]),
        multi_json(&[
            vec![rectangle(177.0, -20.0, 180.0, -15.0)],
            vec![rectangle(-180.0, -20.0, -178.0, -15.0)],
        ]),
    ];
    for value in ways_to_write_it {
        let fiji = Area::from_geojson(&value).expect("valid");
        check(
            &fiji,
            &[[178.4, -18.1], [180.0, -17.0], [-180.0, -17.0], [-179.0, -17.0], [177.0, -20.0]],
            &[[0.0, -17.0], [176.9, -17.0], [-177.9, -17.0], [180.0, -14.9], [-180.0, -20.1]],
        );
    }
}

#[test]
fn a_ring_round_the_globe_encloses_the_pole_of_its_hemisphere() {
    let arctic = area(&[vec![[0.0, 66.0], [120.0, 66.0], [-120.0, 66.0]]]);
    check(
        &arctic,
        &[[0.0, 90.0], [77.0, 90.0], [0.0, 67.0], [180.0, 67.0], [-180.0, 89.0], [5.0, 66.0]],
        &[[0.0, 65.0], [180.0, 65.0], [0.0, -90.0], [0.0, -67.0]],
    );
    let antarctic = area(&[vec![[0.0, -66.0], [-120.0, -60.0], [120.0, -66.0]]]);
    check(
        &antarctic,
        &[[0.0, -90.0], [-33.0, -90.0], [-120.0, -61.0], [180.0, -67.0], [0.0, -66.0]],
        &[[0.0, -65.9], [-120.0, -59.9], [0.0, 90.0], [90.0, 67.0]],
    );
    // The same with a position at both names of the antimeridian.
    let round = area(&[vec![[-180.0, -60.0], [0.0, -60.0], [180.0, -60.0]]]);
    check(&round, &[[90.0, -61.0], [0.0, -90.0], [180.0, -75.0]], &[[90.0, -59.0]]);
}

#[test]
fn antarctica_may_be_closed_along_the_pole() {
    let coast = [
        [-180.0, -84.0],
        [-120.0, -74.0],
        [-60.0, -63.0],
        [0.0, -70.0],
        [60.0, -67.0],
        [120.0, -66.0],
        [180.0, -84.0],
        [180.0, -90.0],
        [-180.0, -90.0],
    ];
    let antarctica = area(&[coast.to_vec()]);
    check(
        &antarctica,
        &[[0.0, -90.0], [45.0, -90.0], [0.0, -80.0], [180.0, -85.0], [-60.0, -64.0]],
        &[[180.0, -83.0], [-180.0, -83.0], [0.0, -69.0], [0.0, 90.0], [-60.0, -62.0]],
    );
}

#[test]
fn the_world_may_be_a_box() {
    let world = area(&[rectangle(-180.0, -90.0, 180.0, 90.0)]);
    let places =
        [[0.0, 0.0], [180.0, 0.0], [-180.0, 45.0], [12.0, 90.0], [12.0, -90.0], [-99.0, 89.9]];
    check(&world, &places, &[]);
    assert!(world.bounds().radius_m > 20_000_000.0);
    let north = area(&[rectangle(-180.0, 0.0, 180.0, 90.0)]);
    check(
        &north,
        &[[0.0, 0.0], [180.0, 40.0], [7.0, 90.0]],
        &[[0.0, -0.1], [-180.0, -40.0], [7.0, -90.0]],
    );
}

#[test]
fn a_sector_that_touches_a_pole_has_it() {
    let sector = area(&[vec![[0.0, 80.0], [90.0, 80.0], [90.0, 90.0], [0.0, 90.0]]]);
    check(&sector, &[[45.0, 89.0], [45.0, 90.0], [-135.0, 90.0]], &[[-135.0, 89.0], [95.0, 85.0]]);
}

#[test]
fn a_hole_takes_away_but_keeps_its_edge() {
    let ring = area(&[rectangle(0.0, 0.0, 10.0, 10.0), rectangle(4.0, 4.0, 6.0, 6.0)]);
    check(
        &ring,
        &[[1.0, 1.0], [4.0, 5.0], [6.0, 6.0], [0.0, 0.0], [10.0, 5.0]],
        &[[5.0, 5.0], [4.01, 5.99], [11.0, 5.0]],
    );
    // Cut in at a pole, it leaves the pole to the sectors that remain.
    let sector = vec![[0.0, 80.0], [90.0, 80.0], [90.0, 90.0], [0.0, 90.0]];
    let cap = area(&[rectangle(-180.0, 60.0, 180.0, 90.0), sector]);
    check(&cap, &[[45.0, 90.0], [-45.0, 89.0], [45.0, 80.0]], &[[45.0, 89.0]]);
    // What of a hole is outside its shell adds nothing.
    let bitten = area(&[rectangle(0.0, 0.0, 10.0, 10.0), rectangle(8.0, 4.0, 12.0, 6.0)]);
    check(&bitten, &[[7.0, 5.0]], &[[9.0, 5.0], [11.0, 5.0]]);
}

#[test]
fn a_hole_may_enclose_a_pole_and_cross_the_antimeridian() {
    let holes =
        [vec![[0.0, 80.0], [120.0, 80.0], [-120.0, 80.0]], rectangle(-180.0, 80.0, 180.0, 90.0)];
    for hole in holes {
        let band = area(&[rectangle(-180.0, 60.0, 180.0, 90.0), hole]);
        check(
            &band,
            &[
                [0.0, 70.0],
                [180.0, 70.0],
                [-180.0, 61.0],
                [3.0, 80.0],
                [180.0, 80.0],
                [-180.0, 80.0],
            ],
            &[[0.0, 90.0], [50.0, 85.0], [180.0, 85.0], [-180.0, 85.0], [0.0, 59.0]],
        );
    }
    let sea =
        area(&[rectangle(170.0, -30.0, -170.0, -10.0), rectangle(177.0, -20.0, -178.0, -15.0)]);
    check(
        &sea,
        &[[175.0, -17.0], [-175.0, -17.0], [180.0, -25.0], [177.0, -17.0]],
        &[[178.0, -17.0], [180.0, -17.0], [-180.0, -17.0], [-179.0, -17.0], [0.0, -17.0]],
    );
}

#[test]
fn overlapping_polygons_are_united() {
    let value = multi_json(&[
        vec![rectangle(0.0, 0.0, 10.0, 10.0), rectangle(2.0, 2.0, 4.0, 4.0)],
        vec![rectangle(3.0, 3.0, 20.0, 8.0)],
    ]);
    let both = Area::from_geojson(&value).expect("valid");
    check(&both, &[[6.0, 6.0], [3.5, 3.5], [15.0, 5.0]], &[[2.5, 2.5], [15.0, 9.0]]);
}

#[test]
fn a_keyhole_and_a_repeated_position_are_understood() {
    // The hole is cut in along a bridge that the outline walks twice.
    let outline = vec![
        [0.0, 0.0],
        [10.0, 0.0],
        [10.0, 0.0],
        [10.0, 10.0],
        [0.0, 10.0],
        [0.0, 5.0],
        [4.0, 5.0],
        [4.0, 6.0],
        [6.0, 6.0],
        [6.0, 4.0],
        [4.0, 4.0],
        [4.0, 5.0],
        [0.0, 5.0],
    ];
    check(&area(&[outline]), &[[2.0, 4.9], [2.0, 5.0], [8.0, 5.0]], &[[5.0, 5.0]]);
}

#[test]
fn rings_that_enclose_nothing_or_two_things_are_refused() {
    let bow_tie = [[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]];
    assert_eq!(refusal(&bow_tie), AreaProblem::Crossing { first: 0, second: 2 });
    let over_the_seam = [[179.0, 0.0], [-179.0, 2.0], [-179.0, 0.0], [179.0, 2.0]];
    assert_eq!(refusal(&over_the_seam), AreaProblem::Crossing { first: 0, second: 2 });
    assert_eq!(refusal(&[[0.0, 0.0], [50.3, 20.7], [100.6, 41.4]]), AreaProblem::NoArea);
    assert_eq!(refusal(&[[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]]), AreaProblem::NoArea);
    assert_eq!(refusal(&[[0.0, 90.0], [120.0, 90.0], [-120.0, 90.0]]), AreaProblem::NoArea);
    let equator = [[0.0, 0.0], [120.0, 0.0], [-120.0, 0.0]];
    assert_eq!(refusal(&equator), AreaProblem::WhichPole);
    let both = [[0.0, 10.0], [120.0, -10.0], [-120.0, 10.0]];
    assert_eq!(refusal(&both), AreaProblem::WhichPole);
    // Twice round, meeting itself at the first position.
    let twice =
        [[0.0, 10.0], [120.0, 10.0], [-120.0, 10.0], [0.0, 10.0], [120.0, 20.0], [-120.0, 20.0]];
    assert_eq!(refusal(&twice), AreaProblem::Turns);
    let unclear = [[180.0, -10.0], [-180.0, -10.0], [-170.0, -10.0], [-170.0, 10.0], [180.0, 10.0]];
    assert_eq!(refusal(&unclear), AreaProblem::Seam { position: 0 });
}

/// Asserts where an area is refused, and a part of what is said.
fn check_refusal(value: serde_json::Value, pointer: &str, sentence: &str) {
    let error = Area::from_geojson(&value).expect_err("refused");
    assert_eq!(error.pointer(), pointer, "{error}");
    assert!(error.to_string().contains(sentence), "{error}");
}

#[test]
fn a_refused_object_is_told_where() {
    let polygon = |coordinates| json!({"type": "Polygon", "coordinates": coordinates});
    let multi = |coordinates| json!({"type": "MultiPolygon", "coordinates": coordinates});
    check_refusal(json!([]), "", "GeoJSON object");
    check_refusal(json!({"coordinates": []}), "", "`type` is missing");
    check_refusal(json!({"type": "Polygon"}), "", "`coordinates` is missing");
    check_refusal(json!({"type": "Feature", "coordinates": []}), "/type", "of a Feature give");
    check_refusal(polygon(json!(3)), "/coordinates", "must be a list, not 3");
    check_refusal(polygon(json!([])), "/coordinates", "at least one ring");
    check_refusal(multi(json!([[]])), "/coordinates/0", "at least one ring");
    let mut more = polygon(json!([[]]));
    more["a/b~c"] = json!(1);
    check_refusal(more, "/a~1b~0c", "remove `a/b~c`");
    let shell = [[0, 0], [1, 0], [1, 1], [0, 0]];
    let line = [[0, 0], [1, 1], [2, 2], [0, 0]];
    check_refusal(multi(json!([[shell], [shell, line]])), "/coordinates/1/1", "no area");
    check_refusal(polygon(json!([shell, line])), "/coordinates/1", "no area");
}

#[test]
fn a_refused_ring_is_told_where() {
    let check = |ring: serde_json::Value, pointer: &str, sentence| {
        let value = json!({"type": "Polygon", "coordinates": [ring]});
        check_refusal(value.clone(), &format!("/coordinates/0{pointer}"), sentence);
        let told = serde_json::from_value::<Area>(value).expect_err("refused").to_string();
        assert!(told.starts_with(&format!("at /coordinates/0{pointer} of the area: ")), "{told}");
    };
    check(json!([[0, 0], [1, 1], [0, 0]]), "", "this one has 3");
    check(json!([[0, 0], [1, 0], [1, 1], [0, 1]]), "/3", "equal the first, [0, 0]");
    check(json!([[0, 0], [999, 0], [1, 1], [0, 0]]), "/1", "999 does not");
    let swapped = [[-37.9, 144.9], [0.0, 0.0], [1.0, 1.0], [-37.9, 144.9]];
    check(json!(swapped), "/0", "look swapped");
    check(
        json!([[0, 0], [1, null], [1, 1], [0, 0]]),
        "/1/1",
        "a latitude must be a number, not null",
    );
    check(json!([[0, 0], ["1", 0], [1, 1], [0, 0]]), "/1/0", "a longitude must be a number");
    check(json!([[0, 0], [1], [1, 1], [0, 0]]), "/1", "not 1 numbers");
    check(json!([[0, 0], [1, 0, 0, 0], [1, 1], [0, 0]]), "/1", "not 4 numbers");
    check(json!([[0, 0], "b", [1, 1], [0, 0]]), "/1", "a position must be a list");
    check(json!([[0, 0], [1, 1], [2, 2], [0, 0]]), "", "no area");
}

#[test]
fn an_area_is_written_as_it_was_read() {
    let value = json!({"type": "MultiPolygon", "coordinates": [[[
        [0, 0.0, 17.5], [1.0, 0], [0.1, 0.30000000000000004, -3], [0.0, 0]
    ]]]});
    let area: Area = serde_json::from_value(value.clone()).expect("valid");
    assert_eq!(serde_json::to_value(&area).expect("writes"), value);
    let text = serde_json::to_string(&area).expect("writes");
    assert_eq!(serde_json::from_str::<Area>(&text).expect("reads"), area);
    assert!(text.contains("0.30000000000000004") && text.contains("17.5"), "{text}");
}

#[test]
fn limits_hold() {
    let square = |index: i32| {
        let west = f64::from(index % 100);
        vec![rectangle(west, 0.0, west + 0.5, 1.0)]
    };
    let count = |rings: i32| {
        let polygons: Vec<_> = (0..rings).map(square).collect();
        Area::from_geojson(&multi_json(&polygons)).map_err(|error| error.problem().clone())
    };
    assert!(count(1_000).is_ok());
    assert_eq!(count(1_001), Err(AreaProblem::TooManyRings));

    let circle = |positions: i32| {
        let at = |index| f64::from(index) / f64::from(positions) * std::f64::consts::TAU;
        let ring = (0..positions).map(|i| [10.0 * at(i).cos(), 10.0 * at(i).sin()]).collect();
        Area::from_geojson(&polygon_json(&[ring])).map_err(|error| error.problem().clone())
    };
    let largest = circle(9_999).expect("valid");
    check(&largest, &[[0.0, 0.0], [9.9, 0.0], [-7.0, 7.0]], &[[10.1, 0.0], [7.2, 7.2]]);
    assert_eq!(circle(10_000), Err(AreaProblem::TooManyPositions));
}

#[test]
fn a_tangle_is_refused_before_it_costs_much() {
    // A comb of 4,998 slanted teeth, each box overlapping each other one.
    let tooth = |index: i32| {
        let x = f64::from(index) * 0.001;
        [[x, 0.0], [x + 100.0, 80.0]]
    };
    let ring: Vec<_> = (0..4_998).flat_map(tooth).chain([[105.0, -1.0], [0.0, -1.0]]).collect();
    assert_eq!(refusal(&ring), AreaProblem::Tangled);
}

#[test]
fn bounds_are_close_for_a_small_area() {
    // One tenth of a degree at latitude -37.8: the corners are 7.1 km from the middle.
    let bounds = area(&[rectangle(144.9, -37.85, 145.0, -37.75)]).bounds();
    assert!((7_000.0..7_300.0).contains(&bounds.radius_m), "{bounds:?}");
    assert!(bounds.contains(position(-37.8, 144.95)));
    assert!(!bounds.contains(position(-37.7, 145.1)));
}

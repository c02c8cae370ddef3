//! Areas by property: against a count of azimuths on the sphere, against whole-number arithmetic
//! in the plane, and against themselves turned, mirrored, reversed and cut.

use std::f64::consts::{PI, TAU};

use proptest::prelude::*;

use super::samples::{
    Open, antipode, any_position, has, multi_json, polygon_json, position, rectangle, wrapped,
};
use super::{Area, AreaProblem, Position};

type Vector = [f64; 3];

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

/// An outline on the sphere: its edges, straight in longitude and latitude and the short way
/// round, cut into pieces of at most a quarter of a degree.
fn outline(ring: &[[f64; 2]]) -> Vec<Vector> {
    let mut points = Vec::new();
    for (index, &[x, y]) in ring.iter().enumerate() {
        let [next_x, next_y] = ring[(index + 1) % ring.len()];
        let (along, up) = (wrapped(next_x - x), next_y - y);
        let pieces = (along.hypot(up) * 4.0).ceil().max(1.0) as i32;
        let part = |piece: i32| f64::from(piece) / f64::from(pieces);
        let at = |part: f64| position(y + up * part, wrapped(x + along * part)).unit_vector();
        points.extend((0..pieces).map(|piece| at(part(piece))));
    }
    points
}

/// How often an outline turns round a place, by summing the changes of its azimuth seen from
/// there. Counts the antipode too, with the other sign.
fn turns(outline: &[Vector], place: Position) -> i32 {
    let up = place.unit_vector();
    let aside = if up[2].abs() < 0.7 { [0.0, 0.0, 1.0] } else { [1.0, 0.0, 0.0] };
    let (east, north) = (cross(aside, up), cross(up, cross(aside, up)));
    let azimuth = |&point: &Vector| dot(east, point).atan2(dot(north, point));
    let azimuths: Vec<f64> = outline.iter().map(azimuth).collect();
    let change = |index: usize| {
        let change = azimuths[(index + 1) % azimuths.len()] - azimuths[index];
        (change + PI).rem_euclid(TAU) - PI
    };
    ((0..azimuths.len()).map(change).sum::<f64>() / TAU).round() as i32
}

/// The place at a distance, in degrees, and a bearing from another one.
fn beyond(from: Position, distance: f64, bearing: f64) -> Position {
    let (distance, bearing) = (distance.to_radians(), bearing.to_radians());
    let up = from.unit_vector();
    let longitude = from.longitude().to_radians();
    let east = [-longitude.sin(), longitude.cos(), 0.0];
    let north = cross(up, east);
    let along = [0, 1, 2].map(|i| east[i] * bearing.sin() + north[i] * bearing.cos());
    Position::towards([0, 1, 2].map(|i| up[i] * distance.cos() + along[i] * distance.sin()))
        .expect("a unit vector")
}

/// Star-shaped outlines 2 to 40 degrees wide anywhere: many over a pole or the antimeridian.
fn star() -> impl Strategy<Value = (Position, Open)> {
    let radii = prop::collection::vec(2.0_f64..40.0, 12..40);
    (any_position(), radii, any::<bool>()).prop_map(|(centre, radii, reverse)| {
        let count = radii.len() as f64;
        let corner = |(index, &radius): (usize, &f64)| {
            let place = beyond(centre, radius, index as f64 / count * 360.0);
            [place.longitude(), place.latitude()]
        };
        let mut ring: Open = radii.iter().enumerate().map(corner).collect();
        if reverse {
            ring.reverse();
        }
        (centre, ring)
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500, max_global_rejects: 1_000, ..ProptestConfig::default()
    })]

    #[test]
    fn inside_is_where_the_outline_turns_round(
        (centre, ring) in star(),
        places in prop::collection::vec((0.0_f64..60.0, 0.0_f64..360.0), 12),
    ) {
        let read = Area::from_geojson(&polygon_json(std::slice::from_ref(&ring)));
        // Straight in longitude and latitude, some stars near a pole cross themselves, or reach
        // over the equator.
        prop_assume!(read.is_ok());
        let area = read.expect("just checked");
        let outline = outline(&ring);
        let apart = |a: Position, b: Vector| dot(a.unit_vector(), b).clamp(-1.0, 1.0).acos();
        let widest = outline.iter().map(|&at| apart(centre, at)).fold(0.0, f64::max);
        for (distance, bearing) in places {
            let place = beyond(centre, distance, bearing);
            // With the antipode of the place beyond the outline's cap, every turn is round the
            // place itself.
            if apart(antipode(place), centre.unit_vector()) <= widest + 0.001 || widest > PI / 2.0 {
                continue;
            }
            // Too near an edge, pieces of a quarter of a degree are too coarse to tell.
            if outline.iter().any(|&at| apart(place, at) < 0.003) {
                continue;
            }
            let inside = turns(&outline, place) != 0;
            prop_assert_eq!(area.contains(place), inside, "{:?} in {:?}", place, ring);
            prop_assert!(!inside || area.bounds().contains(place), "{:?}", area.bounds());
        }
    }
}

/// Corners on a grid of a quarter of a degree, so that turning by whole degrees is exact; the
/// edges short enough that they always have a short way.
fn patch() -> impl Strategy<Value = (Vec<[i32; 2]>, Vec<[i32; 2]>)> {
    let corner = || [-160_i32..160, -340_i32..340];
    let place = || [-200_i32..200, -356_i32..356];
    (prop::collection::vec(corner(), 3..7), prop::collection::vec(place(), 20))
}

fn turned(corners: &[[i32; 2]], degrees: i32, mirror: f64) -> Open {
    let turn = |&[x, y]: &[i32; 2]| {
        [wrapped(f64::from(x) / 4.0 + f64::from(degrees)), mirror * f64::from(y) / 4.0]
    };
    corners.iter().map(turn).collect()
}

/// The even-odd rule in whole numbers, edges included.
fn encloses(corners: &[[i32; 2]], [x, y]: [i32; 2]) -> bool {
    let mut inside = false;
    for (index, &[ax, ay]) in corners.iter().enumerate() {
        let [bx, by] = corners[(index + 1) % corners.len()];
        let side = i64::from(bx - ax) * i64::from(y - ay) - i64::from(by - ay) * i64::from(x - ax);
        let within = |p: i32, a: i32, b: i32| a.min(b) <= p && p <= a.max(b);
        if side == 0 && within(x, ax, bx) && within(y, ay, by) {
            return true;
        }
        // A ray to the east.
        if (ay > y) != (by > y) && (side > 0) == (by > ay) {
            inside = !inside;
        }
    }
    inside
}

/// Whether two edges cross at a point inside both, in whole numbers.
fn crosses_itself(corners: &[[i32; 2]]) -> bool {
    let edge = |index: usize| (corners[index], corners[(index + 1) % corners.len()]);
    let side = |[ax, ay]: [i32; 2], [bx, by]: [i32; 2], [px, py]: [i32; 2]| {
        (i64::from(bx - ax) * i64::from(py - ay) - i64::from(by - ay) * i64::from(px - ax)).signum()
    };
    (0..corners.len()).any(|i| {
        (0..i).any(|j| {
            let ((a, b), (c, d)) = (edge(i), edge(j));
            side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn whole_numbers_agree_wherever_the_ring_is_turned(
        (corners, places) in patch(), degrees in -180_i32..=180, mirror in any::<bool>(),
    ) {
        let mirror = if mirror { -1.0 } else { 1.0 };
        let ring = turned(&corners, degrees, mirror);
        match Area::from_geojson(&polygon_json(std::slice::from_ref(&ring))) {
            Ok(area) => {
                prop_assert!(!crosses_itself(&corners));
                // The corners themselves are asked too: they are on the edge.
                for place in places.iter().chain(&corners) {
                    let at = turned(std::slice::from_ref(place), degrees, mirror)[0];
                    prop_assert_eq!(has(&area, at), encloses(&corners, *place), "{:?}", at);
                }
            }
            Err(error) => match error.problem() {
                AreaProblem::Crossing { .. } => prop_assert!(crosses_itself(&corners)),
                AreaProblem::NoArea => {}
                // An edge that begins and ends on the two names of the antimeridian.
                AreaProblem::Seam { .. } => {
                    prop_assert!(ring.iter().any(|[x, _]| x.abs() == 180.0));
                }
                other => prop_assert!(false, "{other}"),
            },
        }
    }

    #[test]
    fn crossings_are_found_among_many_edges(
        corners in prop::collection::vec([-160_i32..160, -340_i32..340], 30..60),
        sorted in any::<bool>(), swaps in 0_usize..3,
    ) {
        // Sorted by angle the ring is a star and does not cross itself; then some are swapped.
        let mut corners = corners;
        if sorted {
            corners.sort_by(|a, b| {
                let angle = |c: &[i32; 2]| f64::from(c[1]).atan2(f64::from(c[0]));
                angle(a).total_cmp(&angle(b))
            });
            for index in 0..swaps {
                corners.swap(index * 9, index * 9 + 2);
            }
        }
        let ring = turned(&corners, 170, 1.0);
        let read = Area::from_geojson(&polygon_json(&[ring]));
        let refused = matches!(&read, Err(error) if matches!(error.problem(), AreaProblem::Crossing { .. }));
        prop_assert_eq!(refused, crosses_itself(&corners), "{:?}", read);
    }

    #[test]
    fn a_box_has_what_lies_between_its_sides(
        west in -180.0_f64..180.0, width in 0.1_f64..179.0,
        south in -90.0_f64..80.0, height in 0.1_f64..100.0,
        hole in any::<bool>(), places in prop::collection::vec(any_position(), 30),
    ) {
        let north = (south + height).min(90.0);
        let east = wrapped(west + width);
        let mut rings = vec![rectangle(west, south, east, north)];
        let margin = width.min(north - south) / 3.0;
        if hole {
            rings.push(rectangle(
                wrapped(west + margin), south + margin, wrapped(west + width - margin), north - margin,
            ));
        }
        let area = Area::from_geojson(&polygon_json(&rings)).expect("a box");
        for place in places {
            let (x, y) = ((place.longitude() - west).rem_euclid(360.0), place.latitude());
            let within = |m: f64| x > m && x < width - m && y > south + m && y < north - m;
            let clear = |m: f64| {
                [x - m, x - 360.0 - m, x - (width - m), y - south - m, y - north + m]
                    .iter().all(|gap| gap.abs() > 1e-9)
            };
            if y.abs() == 90.0 || !clear(0.0) || !clear(margin) {
                continue;
            }
            let expected = within(0.0) && !(hole && within(margin));
            prop_assert_eq!(area.contains(place), expected, "{:?} in {:?}", place, rings);
        }
    }

    #[test]
    fn an_area_cut_at_the_antimeridian_is_the_same(
        west in 2_i32..180, width in 1_i32..179, south in -90_i32..89, height in 1_i32..60,
        places in prop::collection::vec(any_position(), 30),
    ) {
        // At least one degree on either side of the antimeridian.
        let east = (west + width - 360).clamp(-179, west - 181);
        let [west, east, south] = [west, east, south].map(f64::from);
        let north = (south + f64::from(height)).min(90.0);
        let whole = Area::from_geojson(&polygon_json(&[rectangle(west, south, east, north)]))
            .expect("a box");
        let cut = Area::from_geojson(&multi_json(&[
            vec![rectangle(west, south, 180.0, north)],
            vec![rectangle(-180.0, south, east, north)],
        ])).expect("two boxes");
        for place in places {
            prop_assert_eq!(whole.contains(place), cut.contains(place), "{:?}", place);
        }
    }
}

//! Points, distances, times and pairs as people write them on a command line.

use shared::geo::Position;

/// A point, as it was written: `LAT,LON`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// Reads `LAT,LON`.
///
/// # Errors
/// A sentence that says what to write.
pub fn point(text: &str) -> Result<Point, String> {
    let form = || format!("`{text}` is not a point; write LAT,LON in degrees: -37.81,144.96");
    let (latitude, longitude) = text.split_once(',').ok_or_else(form)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| form());
    let (latitude, longitude) = (number(latitude)?, number(longitude)?);
    Position::new(latitude, longitude).map_err(|error| error.to_string())?;
    Ok(Point { latitude, longitude })
}

/// Reads a distance; the answer is in metres.
///
/// # Errors
/// A sentence that says what to write.
pub fn distance_m(text: &str) -> Result<f64, String> {
    let (number, unit) = split(text);
    let factor = match unit {
        "km" => 1_000.0,
        "m" => 1.0,
        _ => return Err(format!("`{text}` is not a distance; write for example 800m or 5km")),
    };
    let metres = number.parse::<f64>().ok().map(|number| number * factor);
    metres
        .filter(|metres| metres.is_finite() && *metres > 0.0)
        .ok_or_else(|| format!("`{text}` is not a distance; write for example 800m or 5km"))
}

/// Reads a time; the answer is in seconds.
///
/// # Errors
/// A sentence that says what to write.
pub fn seconds(text: &str) -> Result<u64, String> {
    let form =
        || format!("`{text}` is not a time; write whole numbers with s, m, h or d: 30s, 10m");
    let (number, unit) = split(text);
    let factor = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(form()),
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0).ok_or_else(form)?;
    number.checked_mul(factor).ok_or_else(form)
}

/// Reads a whole number that is not negative.
///
/// # Errors
/// A sentence that says what to write.
pub fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number; write for example 10"))
}

/// Reads `KEY=VALUE`.
///
/// # Errors
/// A sentence that says what to write.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not KEY=VALUE; write for example sensor=pm25")),
    }
}

/// Reads `NAME=N`.
///
/// # Errors
/// A sentence that says what to write.
pub fn amount(text: &str) -> Result<(String, u32), String> {
    let (name, amount) = text.split_once('=').unwrap_or((text, "1"));
    let form = || format!("`{text}` is not NAME=N; write for example camera=1");
    let amount = amount.parse().ok().filter(|_| !name.is_empty()).ok_or_else(form)?;
    Ok((name.to_owned(), amount))
}

/// A number and its unit.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.trim_end(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        let melbourne = Point { latitude: -37.81, longitude: 144.96 };
        assert_eq!(point("-37.81,144.96"), Ok(melbourne));
        assert_eq!(point("-37.81, 144.96"), Ok(melbourne));
        assert_eq!((distance_m("5km"), distance_m("1.5 km")), (Ok(5_000.0), Ok(1_500.0)));
        assert_eq!(distance_m("800m"), Ok(800.0));
        assert_eq!((seconds("30s"), seconds("10m"), seconds("2h")), (Ok(30), Ok(600), Ok(7_200)));
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(amount("camera"), Ok(("camera".to_owned(), 1)));
        assert_eq!(amount("camera=2"), Ok(("camera".to_owned(), 2)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_an_example() {
        for text in ["", "1", "1;2", "a,b", "91,0", "0,181", "nan,0", "1,2,3"] {
            assert!(point(text).is_err(), "{text}");
        }
        for text in ["", "5", "km", "-5km", "0m", "5miles", "infkm", "5e400km"] {
            assert!(distance_m(text).is_err_and(|told| told.contains("5km")), "{text}");
        }
        for text in ["", "5", "1.5h", "0s", "-1s", "5 weeks", "99999999999999999999s"] {
            assert!(seconds(text).is_err_and(|told| told.contains("30s")), "{text}");
        }
        assert!(pair("=b").is_err() && pair("a").is_err() && amount("camera=x").is_err());
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_breaks_a_reader(text in ".{0,24}|[-+0-9.eE, kmshd=]{0,16}") {
            let _ = (pair(&text), amount(&text), whole(&text));
            if let Ok(point) = point(&text) {
                prop_assert!(point.latitude.abs() <= 90.0 && point.longitude.abs() <= 180.0);
            }
            if let Ok(metres) = distance_m(&text) {
                prop_assert!(metres.is_finite() && metres > 0.0);
            }
            prop_assert!(seconds(&text) != Ok(0));
        }

        #[test]
        fn what_is_written_is_read(
            latitude in -90.0..90.0_f64,
            longitude in -180.0..180.0_f64,
            metres in 1..40_000_000_u32,
            minutes in 1..1_000_000_u64,
        ) {
            let written = format!("{latitude},{longitude}");
            prop_assert_eq!(point(&written), Ok(Point { latitude, longitude }));
            prop_assert_eq!(distance_m(&format!("{metres}m")), Ok(f64::from(metres)));
            prop_assert_eq!(seconds(&format!("{minutes}m")), Ok(minutes * 60));
        }

        #[test]
        fn a_pair_is_taken_apart_where_it_was_put_together(key in "[^=]{1,8}", value in ".{0,8}") {
            prop_assert_eq!(pair(&format!("{key}={value}")), Ok((key, value)));
        }
    }
}

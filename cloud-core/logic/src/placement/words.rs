//! Figures and lists in words, as refusals and advice use them. Knows nothing of placement.

/// How many of a longer list are written out.
const LISTED_MAX: usize = 5;

/// "1 agent", "3 agents".
pub(super) fn count(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// "a", "a or b", "a, b or c", "a, b, c, d, e or 7 more".
pub(super) fn any_of<T: AsRef<str>>(items: &[T]) -> String {
    let more = items.len().saturating_sub(LISTED_MAX);
    let mut parts: Vec<String> =
        items.iter().take(LISTED_MAX).map(|item| item.as_ref().to_owned()).collect();
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    match parts.pop() {
        None => "none".to_owned(),
        Some(last) if parts.is_empty() => last,
        Some(last) => format!("{} or {last}", parts.join(", ")),
    }
}

/// A length for people: "640 m", "5.3 km", "713 km".
pub(super) fn length(length_m: f64) -> String {
    if length_m < 1_000.0 {
        format!("{} m", rounded(length_m, 0))
    } else if length_m < 10_000.0 {
        format!("{} km", rounded(length_m / 1_000.0, 1))
    } else {
        format!("{} km", rounded(length_m / 1_000.0, 0))
    }
}

/// Two lengths of which the first is the longer, and reads so: where rounding would make them
/// alike they are told in metres.
pub(super) fn lengths(longer_m: f64, shorter_m: f64) -> [String; 2] {
    let metres = |length_m: f64| format!("{} m", rounded(length_m, 0));
    let millimetres = |length_m: f64| format!("{} m", rounded(length_m, 3));
    told_apart([longer_m, shorter_m], [&length, &metres, &millimetres])
}

/// A duration for people: "3.1 ms".
pub(super) fn milliseconds(duration_ms: f64) -> String {
    format!("{} ms", rounded(duration_ms, 1))
}

/// Two durations of which the first is the longer, and reads so.
pub(super) fn durations(longer_ms: f64, shorter_ms: f64) -> [String; 2] {
    let microseconds = |duration_ms: f64| format!("{} ms", rounded(duration_ms, 3));
    let exact = |duration_ms: f64| format!("{duration_ms} ms");
    told_apart([longer_ms, shorter_ms], [&milliseconds, &microseconds, &exact])
}

fn told_apart(values: [f64; 2], styles: [&dyn Fn(f64) -> String; 3]) -> [String; 2] {
    let told = |style: &dyn Fn(f64) -> String| values.map(style);
    let [short, finer, finest] = styles;
    [short, finer].into_iter().map(told).find(|[a, b]| a != b).unwrap_or_else(|| told(finest))
}

/// A number with up to so many decimals, without trailing zeros.
fn rounded(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_a_person_would_say_them() {
        assert_eq!(length(0.4), "0 m");
        assert_eq!(length(640.2), "640 m");
        assert_eq!(length(5_000.0), "5 km");
        assert_eq!(length(5_312.0), "5.3 km");
        assert_eq!(length(713_400.0), "713 km");
    }

    #[test]
    fn a_longer_length_never_reads_like_the_shorter_one() {
        assert_eq!(lengths(713_400.0, 50_000.0), ["713 km", "50 km"]);
        assert_eq!(lengths(50_010.2, 50_000.0), ["50010 m", "50000 m"]);
        assert_eq!(lengths(50_000.004, 50_000.0), ["50000.004 m", "50000 m"]);
        assert_eq!(durations(40.04, 40.0), ["40.04 ms", "40 ms"]);
        assert_eq!(durations(40.000_000_1, 40.0), ["40.0000001 ms", "40 ms"]);
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(any_of::<&str>(&[]), "none");
        assert_eq!(any_of(&["a"]), "a");
        assert_eq!(any_of(&["a", "b", "c"]), "a, b or c");
        assert_eq!(any_of(&["a"; 12]), "a, a, a, a, a or 7 more");
    }
}

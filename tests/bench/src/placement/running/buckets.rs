//! A histogram as it is exported: how many were at most so large, for each of its bounds.

/// A histogram, or what came to it in between.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets(Vec<(f64, f64)>);

impl Buckets {
    /// The buckets of the histogram of this name.
    pub fn read(metrics: &str, name: &str) -> Self {
        let begins = format!("{name}_bucket{{le=\"");
        let bucket = |line: &str| {
            let (bound, count) = line.strip_prefix(&begins)?.split_once("\"} ")?;
            Some((bound.parse().ok()?, count.parse().ok()?))
        };
        Self(metrics.lines().filter_map(bucket).collect())
    }

    /// What came to it since.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |at: usize| earlier.0.get(at).map_or(0.0, |(_, count)| *count);
        let pairs = self.0.iter().enumerate();
        Self(pairs.map(|(at, (bound, count))| (*bound, count - before(at))).collect())
    }

    /// The value that this share lies below, evenly spread within its bucket as Prometheus has it;
    /// the last finite bound, if it is beyond that.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = self.0.last().map_or(0.0, |(_, all)| all * share);
        let (mut below, mut counted) = (0.0, 0.0);
        for (bound, count) in self.0.iter().filter(|(bound, _)| bound.is_finite()) {
            if *count >= wanted && *count > counted {
                return below + (bound - below) * (wanted - counted) / (count - counted);
            }
            (below, counted) = (*bound, *count);
        }
        below
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = "\
x_seconds_sum 1.0
x_seconds_bucket{le=\"0.1\"} 10
x_seconds_bucket{le=\"0.2\"} 30
x_seconds_bucket{le=\"+Inf\"} 40
y_seconds_bucket{le=\"0.1\"} 7
";

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let buckets = Buckets::read(METRICS, "x_seconds");
        assert!((buckets.quantile(0.5) - 0.15).abs() < 1e-9);
        assert!((buckets.quantile(0.125) - 0.05).abs() < 1e-9);
        assert_eq!(buckets.quantile(0.99), 0.2, "beyond the last bound nothing is known");
        assert_eq!(Buckets::read(METRICS, "z").quantile(0.5), 0.0);
    }

    #[test]
    fn what_was_before_does_not_count() {
        let (now, mut before) = (Buckets::read(METRICS, "x_seconds"), Buckets::default());
        assert_eq!(now.since(&before), now);
        before.0 = vec![(0.1, 10.0), (0.2, 10.0), (f64::INFINITY, 10.0)];
        assert_eq!(now.since(&before).0, [(0.1, 0.0), (0.2, 20.0), (f64::INFINITY, 30.0)]);
    }
}

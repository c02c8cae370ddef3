//! What the system knows of this process and of the disk it writes to, read at each scrape. Names
//! of the process's own are those that every Prometheus exporter uses.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self` and the size of the store.
#[derive(Debug)]
pub struct ProcessMetrics {
    store: PathBuf,
    started_s: f64,
}

impl ProcessMetrics {
    /// For a process that starts now, with its store in this file.
    #[must_use]
    pub fn new(store: &Path) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let started_s = since.map_or(0.0, |since| since.as_secs_f64());
        Self { store: store.to_owned(), started_s }
    }
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            let metric = prometheus_client::metrics::MetricType::Gauge;
            gauge.encode(encoder.encode_descriptor(name, help, unit, metric)?)
        };
        let bytes = Some(&Unit::Bytes);
        let help = "When this process started, in seconds since 1970";
        gauge("process_start_time", help, Some(&Unit::Seconds), self.started_s)?;
        if let Some(resident) = resident_bytes() {
            gauge("process_resident_memory", "Memory in use", bytes, resident)?;
        }
        if let Some(open) = open_files() {
            gauge("process_open_fds", "Open files and connections", None, open)?;
        }
        let help = "Size of the store with its write-ahead log";
        gauge("ambit_store", help, bytes, store_bytes(&self.store))?;
        if let Some(free) = free_bytes(&self.store) {
            gauge("ambit_store_free", "Free space on the disk of the store", bytes, free)?;
        }
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let build = prometheus_client::metrics::info::Info::new(version);
        let metric = prometheus_client::metrics::MetricType::Info;
        build.encode(encoder.encode_descriptor("ambit_build", "This build", None, metric)?)?;
        let Some(busy) = busy_seconds() else {
            return Ok(());
        };
        let counter = ConstCounter::new(busy);
        let metric = prometheus_client::metrics::MetricType::Counter;
        let unit = Some(&Unit::Seconds);
        let help = "Processor time of this process";
        counter.encode(encoder.encode_descriptor("process_cpu", help, unit, metric)?)
    }
}

/// A value of `/proc/self/status`, in KiB.
fn resident_bytes() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1_024.0)
}

fn open_files() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

/// Of all threads, in user code and in the kernel.
fn busy_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program is in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
    Some((ticks(11)? + ticks(12)?) / ticks_per_second)
}

fn store_bytes(store: &Path) -> f64 {
    let log = store.with_extension("db-wal");
    let sizes = [store, &log].map(|path| fs::metadata(path).map_or(0, |meta| meta.len()));
    sizes.iter().sum::<u64>() as f64
}

fn free_bytes(store: &Path) -> Option<f64> {
    let disk = rustix::fs::statvfs(store.parent()?).ok()?;
    Some(disk.f_bavail as f64 * disk.f_frsize as f64)
}

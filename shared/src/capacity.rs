//! Amounts of what an agent has and a task needs. One vector type serves capacity, reservations
//! and demands, so that they can be compared, added and taken away without translation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A vector of resources. Absent fields are zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Thousandths of a processor core.
    pub cpu_millis: u64,
    /// Memory, MiB.
    pub memory_mib: u64,
    /// Disk, MiB.
    pub disk_mib: u64,
    /// Network bandwidth, kbit/s.
    pub bandwidth_kbps: u64,
    /// Countable devices by name: `{"camera": 1}`.
    pub devices: BTreeMap<String, u32>,
}

/// One of the amounts of [`Resources`], as a refusal names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Processor.
    Cpu,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
    /// Bandwidth.
    Bandwidth,
    /// A named device.
    Device(String),
}

/// What one resource lacks for a demand to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Which resource.
    pub resource: Resource,
    /// How much is asked for, in the resource's unit.
    pub needed: u64,
    /// How much is free, in the resource's unit.
    pub free: u64,
    /// How much there is in all. When `needed` exceeds it, waiting never helps.
    pub capacity: u64,
}

impl Resources {
    /// Nothing of anything.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.scalars().iter().all(|&amount| amount == 0) && self.devices.values().all(|&n| n == 0)
    }

    /// cpu, memory, disk and bandwidth, in this order.
    #[must_use]
    pub fn scalars(&self) -> [u64; 4] {
        [self.cpu_millis, self.memory_mib, self.disk_mib, self.bandwidth_kbps]
    }

    /// How many of a device there are.
    #[must_use]
    pub fn device(&self, name: &str) -> u32 {
        self.devices.get(name).copied().unwrap_or(0)
    }

    /// Adds `other`, staying at the maximum instead of wrapping.
    pub fn add(&mut self, other: &Self) {
        self.cpu_millis = self.cpu_millis.saturating_add(other.cpu_millis);
        self.memory_mib = self.memory_mib.saturating_add(other.memory_mib);
        self.disk_mib = self.disk_mib.saturating_add(other.disk_mib);
        self.bandwidth_kbps = self.bandwidth_kbps.saturating_add(other.bandwidth_kbps);
        for (name, &count) in &other.devices {
            if count > 0 {
                let held = self.devices.entry(name.clone()).or_default();
                *held = held.saturating_add(count);
            }
        }
    }

    /// Takes `other` away, never below zero. Devices that reach zero leave the map, so that equal
    /// amounts are equal values.
    pub fn subtract(&mut self, other: &Self) {
        self.cpu_millis = self.cpu_millis.saturating_sub(other.cpu_millis);
        self.memory_mib = self.memory_mib.saturating_sub(other.memory_mib);
        self.disk_mib = self.disk_mib.saturating_sub(other.disk_mib);
        self.bandwidth_kbps = self.bandwidth_kbps.saturating_sub(other.bandwidth_kbps);
        for (name, &count) in &other.devices {
            if let Some(held) = self.devices.get_mut(name) {
                *held = held.saturating_sub(count);
            }
        }
        self.devices.retain(|_, held| *held > 0);
    }

    /// What this is when `used` is taken away.
    #[must_use]
    pub fn minus(&self, used: &Self) -> Self {
        let mut free = self.clone();
        free.subtract(used);
        free
    }

    /// Every resource in which `needs` does not fit beside `used` within this capacity, in the
    /// order cpu, memory, disk, bandwidth, devices by name. Empty when it fits. A resource that
    /// is not asked for never stands in the way, even when it is overcommitted.
    #[must_use]
    pub fn shortages(&self, used: &Self, needs: &Self) -> Vec<Shortage> {
        let mut shortages = Vec::new();
        let names = [Resource::Cpu, Resource::Memory, Resource::Disk, Resource::Bandwidth];
        let (all, held, asked) = (self.scalars(), used.scalars(), needs.scalars());
        for (index, resource) in names.into_iter().enumerate() {
            let free = all[index].saturating_sub(held[index]);
            if asked[index] > free {
                let (needed, capacity) = (asked[index], all[index]);
                shortages.push(Shortage { resource, needed, free, capacity });
            }
        }
        for (name, &needed) in &needs.devices {
            let capacity = self.device(name);
            let free = capacity.saturating_sub(used.device(name));
            if needed > free {
                shortages.push(Shortage {
                    resource: Resource::Device(name.clone()),
                    needed: u64::from(needed),
                    free: u64::from(free),
                    capacity: u64::from(capacity),
                });
            }
        }
        shortages
    }

    /// Whether `needs` fits beside `used`. The same answer as `shortages(..).is_empty()`, without
    /// its allocations.
    #[must_use]
    pub fn fits(&self, used: &Self, needs: &Self) -> bool {
        let (all, held, asked) = (self.scalars(), used.scalars(), needs.scalars());
        (0..4).all(|i| asked[i] <= all[i].saturating_sub(held[i]))
            && needs
                .devices
                .iter()
                .all(|(name, &n)| n <= self.device(name).saturating_sub(used.device(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resources() -> impl Strategy<Value = Resources> {
        let devices = prop::collection::btree_map("[a-c]", 1_u32..5, 0..3);
        (0_u64..100, 0_u64..100, 0_u64..100, 0_u64..100, devices).prop_map(
            |(cpu_millis, memory_mib, disk_mib, bandwidth_kbps, devices)| Resources {
                cpu_millis,
                memory_mib,
                disk_mib,
                bandwidth_kbps,
                devices,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_added_and_taken_away_leaves_no_trace(a in resources(), b in resources()) {
            let mut sum = a.clone();
            sum.add(&b);
            sum.subtract(&b);
            prop_assert_eq!(sum, a);
        }

        #[test]
        fn fitting_means_no_shortage(all in resources(), used in resources(), needs in resources()) {
            prop_assert_eq!(all.fits(&used, &needs), all.shortages(&used, &needs).is_empty());
        }

        #[test]
        fn what_is_free_fits_exactly(all in resources(), used in resources()) {
            let free = all.minus(&used);
            prop_assert!(all.fits(&used, &free));
            let mut more = free.clone();
            more.memory_mib += 1;
            prop_assert!(!all.fits(&used, &more));
        }
    }
}

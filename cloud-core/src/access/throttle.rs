//! Slows down those who keep connecting with wrong credentials, so that a storm of them costs
//! neither time nor log lines. Pure: the time is an argument; memory is bounded.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use shared::time::Monotonic;

/// Every refused attempt of one user name from one address counts this many milliseconds …
const PAIR_COST_MS: u64 = 1_000;
/// … and every one from one address, whatever the user name, this many. Lower, because a whole
/// site of agents may share an address, and one of them must not lock out the others.
const ADDRESS_COST_MS: u64 = 50;
/// With more than this many milliseconds on its account, one must wait: 10 attempts of one user
/// name, 200 of one address, and then one a second, or 20.
const ALLOWANCE_MS: u64 = 10_000;
/// How many accounts are kept of either kind.
const ACCOUNTS_MAX: usize = 10_000;
/// How often all accounts are looked through when there are too many: not at every attempt, or
/// the remedy would be the storm.
const PRUNE_EVERY_MS: u64 = 1_000;

/// Whether a refusal is worth a log line that people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The first of this user name and address for a while.
    First,
    /// One more of the same.
    Repeated,
}

/// Accounts of refused attempts. An account holds the time at which it will be empty again.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    pairs: HashMap<(IpAddr, String), u64>,
    addresses: HashMap<IpAddr, u64>,
    pruned_at: Monotonic,
}

impl Throttle {
    /// How long this user name at this address must wait before it is looked at, in
    /// milliseconds; 0 is "come in".
    pub(crate) fn wait_ms(&self, username: &str, address: IpAddr, now: Monotonic) -> u64 {
        let address = network(address);
        let pair = self.pairs.get(&(address, clipped(username))).copied().unwrap_or(0);
        let site = self.addresses.get(&address).copied().unwrap_or(0);
        pair.max(site).saturating_sub(now.0.saturating_add(ALLOWANCE_MS))
    }

    /// Counts a refused attempt.
    pub(crate) fn refused(&mut self, username: &str, address: IpAddr, now: Monotonic) -> Refusal {
        let fullest = self.pairs.len().max(self.addresses.len());
        if fullest >= ACCOUNTS_MAX && now.since_ms(self.pruned_at) >= PRUNE_EVERY_MS {
            self.prune(now);
        }
        let address = network(address);
        let refusal = charge(&mut self.pairs, (address, clipped(username)), PAIR_COST_MS, now);
        charge(&mut self.addresses, address, ADDRESS_COST_MS, now);
        refusal
    }

    /// Forgives a user name at an address, because it has shown the right credential.
    pub(crate) fn admitted(&mut self, username: &str, address: IpAddr) {
        self.pairs.remove(&(network(address), clipped(username)));
    }

    /// Drops accounts that are empty.
    pub(crate) fn prune(&mut self, now: Monotonic) {
        self.pruned_at = now;
        self.pairs.retain(|_, empty_at_ms| *empty_at_ms > now.0);
        self.addresses.retain(|_, empty_at_ms| *empty_at_ms > now.0);
    }
}

fn charge<K: std::hash::Hash + Eq>(
    accounts: &mut HashMap<K, u64>,
    key: K,
    cost_ms: u64,
    now: Monotonic,
) -> Refusal {
    if let Some(empty_at_ms) = accounts.get_mut(&key) {
        let refusal = if *empty_at_ms > now.0 { Refusal::Repeated } else { Refusal::First };
        *empty_at_ms = (*empty_at_ms).max(now.0).saturating_add(cost_ms);
        return refusal;
    }
    if accounts.len() >= ACCOUNTS_MAX {
        // A storm from everywhere at once: those who come now go uncounted, and unlogged.
        return Refusal::Repeated;
    }
    accounts.insert(key, now.0.saturating_add(cost_ms));
    Refusal::First
}

/// What is one site: an IPv4 address, or an IPv6 network of 64 bits, since one host may have all
/// addresses of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// The part of a user name that is kept: no agent id is longer.
fn clipped(username: &str) -> String {
    username.chars().take(shared::id::AGENT_ID_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn ten_wrong_attempts_pass_the_eleventh_waits_and_time_heals() {
        let (mut throttle, home, now) = (Throttle::default(), address("10.0.0.1"), Monotonic(5));
        for attempt in 0..10 {
            assert_eq!(throttle.wait_ms("a", home, now), 0, "attempt {attempt}");
            let first = throttle.refused("a", home, now) == Refusal::First;
            assert_eq!(first, attempt == 0);
        }
        throttle.refused("a", home, now);
        assert_eq!(throttle.wait_ms("a", home, now), 1_000);
        assert_eq!(throttle.wait_ms("a", home, Monotonic(1_005)), 0);
        assert_eq!(throttle.refused("a", home, Monotonic(60_000)), Refusal::First);
    }

    #[test]
    fn one_wrong_agent_does_not_lock_out_its_neighbours_or_its_namesake_elsewhere() {
        let (mut throttle, home, now) = (Throttle::default(), address("10.0.0.1"), Monotonic(0));
        for _ in 0..100 {
            throttle.refused("a", home, now);
        }
        assert!(throttle.wait_ms("a", home, now) > 0);
        assert_eq!(throttle.wait_ms("b", home, now), 0);
        assert_eq!(throttle.wait_ms("a", address("10.0.0.2"), now), 0);
        throttle.admitted("a", home);
        assert_eq!(throttle.wait_ms("a", home, now), 0);
    }

    #[test]
    fn an_address_that_tries_every_name_waits_whatever_the_name() {
        let (mut throttle, now) = (Throttle::default(), Monotonic(0));
        for name in 0..=200 {
            throttle.refused(&name.to_string(), address("2001:db8::1"), now);
        }
        assert!(throttle.wait_ms("new", address("2001:db8::2"), now) > 0);
        assert_eq!(throttle.wait_ms("new", address("2001:db8:0:1::2"), now), 0);
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let (mut throttle, now) = (Throttle::default(), Monotonic(0));
        for host in 0..30_000_u32 {
            throttle.refused("a", IpAddr::V4(host.into()), now);
        }
        assert_eq!(throttle.pairs.len(), ACCOUNTS_MAX);
        assert_eq!(throttle.addresses.len(), ACCOUNTS_MAX);
        let later = Monotonic(2_000);
        assert_eq!(throttle.refused("b", address("10.0.0.1"), later), Refusal::First);
        assert_eq!((throttle.pairs.len(), throttle.addresses.len()), (1, 1));
    }
}

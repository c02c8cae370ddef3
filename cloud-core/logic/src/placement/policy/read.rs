//! Reading a policy that a stranger wrote, and checking one that came in any way.

use serde_json::Value;
use shared::api::{BatchStrategy, PolicyProfile, RefusalName};
use shared::border::{Fields, Problem, Problems, choice, describe, escape, nearest};
use shared::spec::PROFILE_BYTES_MAX;

use super::{Policy, Weights};

/// The highest weight of a term, as in a task's `prefer`.
const WEIGHT_MAX: u32 = 1_000;
/// The longest that a search may be given, in microseconds.
const BUDGET_US_MAX: u32 = 1_000_000;
/// The most filters that are named at once: more than there are.
const FILTERS_MAX: usize = 64;
/// The most profiles of one policy.
const PROFILES_MAX: usize = 64;
/// What nobody may call a profile, because it is what there is without one.
const PROFILE_NAME_TAKEN: &str = "default";

impl Policy {
    /// Reads a policy that a stranger wrote; fields that are left out have their defaults.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its JSON pointer.
    pub fn parse(document: &Value) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let mut policy = Self::default();
        if let Some(mut fields) = Fields::of(document, "", &mut problems) {
            policy = policy.with(&profile(&mut fields, &mut problems));
            for (pointer, name, value) in fields.entries("profiles", PROFILES_MAX, &mut problems) {
                if let Some(mut fields) = Fields::of(value, pointer, &mut problems) {
                    let one = profile(&mut fields, &mut problems);
                    fields.finish(&mut problems);
                    policy.profiles.insert(name.to_owned(), one);
                }
            }
            fields.finish(&mut problems);
        }
        problems.into_result(())?;
        policy.check()?;
        Ok(policy)
    }

    /// Whether it has the profile that a task asks for. Who submits one is told at once; a task that
    /// waits while its profile goes is placed by the policy itself.
    ///
    /// # Errors
    /// What to say to whoever asks.
    pub fn check_profile(&self, profile: Option<&str>) -> Result<(), Problem> {
        let Some(name) = profile.filter(|name| !self.profiles.contains_key(*name)) else {
            return Ok(());
        };
        let known = self.profiles.keys().map(String::as_str);
        let list = known.clone().collect::<Vec<_>>().join(", ");
        let version = self.version;
        let hint = match nearest(name, known) {
            _ if list.is_empty() => "has none; leave it out".to_owned(),
            Some(meant) => format!("has {list}; did you mean `{meant}`?"),
            None => format!("has {list}; write one of them, or leave it out"),
        };
        let detail = format!("there is no profile {name:?}: policy {version} {hint}");
        Err(Problem { pointer: "/prefer/profile".to_owned(), detail })
    }

    /// Whether it makes sense. Placement itself survives any policy; this is for the border, where
    /// a person can still be told.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its JSON pointer.
    pub fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Problems::default();
        check_one(self, "", &mut problems);
        if self.profiles.len() > PROFILES_MAX {
            let count = self.profiles.len();
            let detail = format!("may hold at most {PROFILES_MAX} entries, not {count}");
            problems.add("/profiles", detail);
        }
        let usual = Self { profiles: [].into(), ..self.clone() };
        for name in self.profiles.keys() {
            let pointer = format!("/profiles/{}", escape(name));
            if let Err(detail) = check_name(name) {
                problems.add(pointer.clone(), detail);
            }
            let one = self.of(Some(name));
            // What a profile only repeats is told once, where it stands.
            if *one != usual {
                check_one(&one, &pointer, &mut problems);
            }
        }
        problems.into_result(())
    }
}

/// The names of agents and labels are as free as this, and no less readable in a list.
fn check_name(name: &str) -> Result<(), String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > PROFILE_BYTES_MAX || !name.bytes().all(known) {
        return Err(format!(
            "is no name for a profile: 1 to {PROFILE_BYTES_MAX} letters, digits, `-`, `_` and \
             `.`"
        ));
    }
    if name == PROFILE_NAME_TAKEN {
        return Err(
            "is what stands beside `profiles`: write it there, or choose another name".to_owned()
        );
    }
    Ok(())
}

fn check_one(policy: &Policy, pointer: &str, problems: &mut Problems) {
    let references =
        [("distance_m_ref", policy.distance_m_ref), ("latency_ms_ref", policy.latency_ms_ref)];
    for (name, reference) in references {
        if !(reference.is_finite() && reference > 0.0) {
            let detail = format!("must be a number above 0, not {reference}");
            problems.add(format!("{pointer}/{name}"), detail);
        }
    }
    let Weights { load, capacity, distance, latency } = policy.weights;
    let weights =
        [("load", load), ("capacity", capacity), ("distance", distance), ("latency", latency)];
    for (term, weight) in weights {
        if weight > WEIGHT_MAX {
            let detail = format!("must be a whole number from 0 to {WEIGHT_MAX}, not {weight}");
            problems.add(format!("{pointer}/weights/{term}"), detail);
        }
    }
    if weights.iter().all(|&(_, weight)| weight == 0) {
        let detail = "must give at least one term a weight above 0";
        problems.add(format!("{pointer}/weights"), detail);
    }
    if let Some(budget_us) = policy.budget_us.filter(|budget_us| *budget_us > BUDGET_US_MAX) {
        let detail = format!("must be a whole number from 0 to {BUDGET_US_MAX}, not {budget_us}");
        problems.add(format!("{pointer}/budget_us"), detail);
    }
}

/// Reads the fields that a policy and its profiles have in common.
fn profile(fields: &mut Fields<'_>, problems: &mut Problems) -> PolicyProfile {
    let mut profile = PolicyProfile::default();
    if let Some(mut terms) = fields.object("weights", problems) {
        let mut weight = |term| {
            let given = terms.integer(term, 0..=u64::from(WEIGHT_MAX), problems);
            given.and_then(|given| u32::try_from(given).ok())
        };
        let weights = &mut profile.weights;
        weights.load = weight("load");
        weights.capacity = weight("capacity");
        weights.distance = weight("distance");
        weights.latency = weight("latency");
        terms.finish(problems);
    }
    profile.distance_m_ref = fields.number("distance_m_ref", f64::MIN..=f64::MAX, problems);
    profile.latency_ms_ref = fields.number("latency_ms_ref", f64::MIN..=f64::MAX, problems);
    profile.packing = fields.boolean("packing", problems);
    for (pointer, name, value) in fields.entries("filters", FILTERS_MAX, problems) {
        let mut filters = profile.filters.named_mut();
        match filters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, on)) if value.is_boolean() || value.is_null() => **on = value.as_bool(),
            Some(_) => {
                let detail = format!("must be true or false, not {}", describe(value));
                problems.add(pointer, detail);
            }
            None => problems.add(pointer, unknown_filter(name, filters.map(|(known, _)| known))),
        }
    }
    let budget_us = fields.integer("budget_us", 0..=u64::from(BUDGET_US_MAX), problems);
    profile.budget_us = budget_us.and_then(|budget_us| u32::try_from(budget_us).ok());
    profile.batch = choice(fields, "batch", &BatchStrategy::ALL, problems);
    profile
}

/// What is said of a filter that is none, or always on.
fn unknown_filter(name: &str, known: [&'static str; 5]) -> String {
    let list = known.join(", ");
    if serde_json::from_value::<RefusalName>(name.into()).is_ok() {
        return format!(
            "is always on: what it keeps away could not run the task, or is kept out by a person; \
             only {list} can be turned off"
        );
    }
    let shown: String = name.chars().take(64).collect();
    match nearest(name, known) {
        Some(meant) => format!("unknown filter `{shown}`; did you mean `{meant}`?"),
        None => format!("unknown filter `{shown}`; those that can be turned off: {list}"),
    }
}

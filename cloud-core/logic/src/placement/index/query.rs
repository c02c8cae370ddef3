//! A request in the terms of the index: numbers to compare with, tokens to ask for. Everything that
//! a task may say about where it runs is here, and nothing is left to be looked up while searching
//! but outlines of areas.

use shared::capacity::Resources;
use shared::geo::Area;
use shared::label::Operator;

use super::super::Request;
use super::super::limits::Limits;
use super::super::policy::Policy;
use super::super::terms::{Weighing, free_share, reference};
use super::apart::Apart;
use super::bounds::{LATENCY_MS_REF, LATENCY_WORTH, LOAD_WORTH, SHARE_WORTH};
use super::dictionary::{Dictionary, Token};
use super::search::Member;
use crate::fleet::Number;

/// Nodes and blocks that are opened in a microsecond, about. A budget is counted in them: deciding knows
/// no clock, and comes to the same on a slow machine as on a fast one.
const OPENS_PER_US: usize = 2;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Query<'a> {
    pub(super) weighing: Weighing,
    pub(super) packing: bool,
    pub(super) distance_m_ref: f64,
    pub(super) latency_ms_ref: f64,
    pub(super) blend: Blend,
    /// The point to be near.
    pub(super) near: Option<[f64; 3]>,
    /// How far from there is still near.
    pub(super) within_m: Option<f64>,
    pub(super) area: Option<Within<'a>>,
    pub(super) latency_ms_max: Option<f64>,
    /// Whether a round trip that was never measured is as good as one below that.
    pub(super) unmeasured_passes: bool,
    /// The resources that the capacity term looks at: those asked for, else cpu and memory.
    pub(super) amounts: Vec<Amount>,
    pub(super) devices: Vec<Count>,
    /// Of each of these lists, one word.
    pub(super) required: Vec<Vec<Token>>,
    /// None of these words, which are in order.
    pub(super) barred: Vec<Token>,
    /// No taint but these.
    pub(super) tolerated: Vec<Token>,
    /// None of these agents, in order.
    pub(super) avoided: Vec<Number>,
    /// How many nodes and blocks may be opened before what was found is enough.
    pub(super) opens_max: usize,
    /// How far from others of its groups; the words and agents of it are among those above.
    pub(super) apart: Apart,
}

/// An area with the circle round it.
#[derive(Debug)]
pub(super) struct Within<'a> {
    pub(super) area: &'a Area,
    pub(super) centre: [f64; 3],
    pub(super) radius_m: f64,
}

/// How a merit goes into a bound on the score: Σ weight × term, before it is divided by the sum of
/// all weights, is at most `merit` × the greatest merit + the rest of each weight × the best of its
/// column. Exact arithmetic would leave it at that; who uses it has to round upwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blend {
    pub(super) merit: f64,
    pub(super) load: f64,
    pub(super) latency: f64,
    /// For each resource, what one unit of free share is worth in all, and beside the merit.
    pub(super) share: [f64; 4],
    pub(super) share_beside: [f64; 4],
    /// What one device asked for is worth.
    pub(super) device: f64,
}

impl Blend {
    fn of(weighing: &Weighing, amounts: &[Amount], devices: usize, policy: &Policy) -> Self {
        let each = weighing.capacity / (amounts.len() + devices) as f64;
        let mut share = [0.0; 4];
        amounts.iter().for_each(|amount| share[amount.resource] = each);
        // A round trip that is measured by another reference is no part of a merit.
        let usual = policy.latency_ms_ref == LATENCY_MS_REF;
        let latency = if usual { weighing.latency } else { 0.0 };
        let ratios = [
            weighing.load / LOAD_WORTH,
            share[0] / SHARE_WORTH,
            share[1] / SHARE_WORTH,
            latency / LATENCY_WORTH,
        ];
        let counted = ratios.into_iter().filter(|ratio| *ratio > 0.0);
        let least = counted.fold(f64::INFINITY, f64::min);
        let merit = if least.is_finite() { least } else { 0.0 };
        let beside = |weight: f64, worth: f64| (weight - merit * worth).max(0.0);
        Self {
            merit,
            load: beside(weighing.load, LOAD_WORTH),
            latency: if usual { beside(latency, LATENCY_WORTH) } else { weighing.latency },
            share,
            share_beside: [
                beside(share[0], SHARE_WORTH),
                beside(share[1], SHARE_WORTH),
                share[2],
                share[3],
            ],
            device: each,
        }
    }
}

/// How much of cpu, memory, disk or bandwidth, by its index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount {
    pub(super) resource: usize,
    pub(super) needed: u64,
}

/// How many devices of a kind: above 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) token: Token,
    pub(super) needed: u32,
    /// The greatest share that can be left of them: what is left of the most that any agent has.
    pub(super) share_max: f64,
}

impl<'a> Query<'a> {
    /// Translates a request; `None` when it asks for a word that no agent has, or for more of a device
    /// than any has. There are `agents` agents, which `number` knows.
    pub(super) fn new(
        request: &Request<'a>,
        policy: &Policy,
        dictionary: &Dictionary,
        agents: usize,
        number: impl Fn(&shared::id::AgentId) -> Option<Number>,
    ) -> Option<Self> {
        let place = &request.spec.place;
        let needs = &request.spec.needs;
        let limits = Limits::of(request, policy);
        let mut words = Wanted::default();
        for (key, value) in &place.labels {
            words.one_of(dictionary.label(key, value))?;
        }
        for expression in &place.expressions {
            let values = expression.values.iter();
            let values = values.filter_map(|value| dictionary.label(&expression.key, value));
            let key = dictionary.label_key(&expression.key);
            match expression.op {
                Operator::In => words.one_of(values)?,
                Operator::NotIn => words.barred.extend(values),
                Operator::Exists => words.one_of(key)?,
                Operator::NotExists => words.barred.extend(key),
            }
        }
        if !place.arch.is_empty() {
            words.one_of(place.arch.iter().filter_map(|word| dictionary.arch(word)))?;
        }
        if !limits.regions.is_empty() {
            words.one_of(limits.regions.iter().filter_map(|word| dictionary.region(word)))?;
        }
        words.one_of(dictionary.runtime(request.spec.run.kind()))?;
        let mut apart = Apart::of(request, dictionary);
        for list in std::mem::take(&mut apart.required) {
            words.one_of(list)?;
        }
        words.barred.append(&mut apart.full);
        words.barred.sort_unstable();
        // What every agent has need not be sought.
        let had_by_all = |word: &Token| dictionary.agents(*word) == agents;
        words.required.retain(|words| !words.iter().any(had_by_all));
        let avoided = place.avoid_agents.iter().chain(request.avoid);
        let mut avoided: Vec<Number> = avoided.filter_map(number).collect();
        avoided.append(&mut apart.full_agents);
        avoided.sort_unstable();
        let tolerated = place.tolerate.iter();
        let (weighing, amounts) = (Weighing::of(request, policy), amounts(needs));
        let devices = counts(needs, dictionary)?;
        Some(Self {
            weighing,
            packing: policy.packing,
            distance_m_ref: reference(policy.distance_m_ref),
            latency_ms_ref: reference(policy.latency_ms_ref),
            blend: Blend::of(&weighing, &amounts, devices.len(), policy),
            near: place.near.map(|near| near.position.unit_vector()),
            within_m: limits.within.map(|(_, within_m)| within_m),
            area: limits.area.map(Within::new),
            latency_ms_max: limits.latency_ms_max.or(limits.measured_for.map(|_| f64::INFINITY)),
            unmeasured_passes: limits.measured_for.is_none(),
            amounts,
            devices,
            required: words.required,
            barred: words.barred,
            tolerated: tolerated.filter_map(|word| dictionary.taint(word)).collect(),
            avoided,
            opens_max: policy.budget_us.map_or(usize::MAX, |us| OPENS_PER_US * us as usize),
            apart,
        })
    }

    /// Whether the place of an agent is one that may be: what no column tells, and is asked last.
    pub(super) fn admits(&self, member: Option<&Member>) -> bool {
        let (area, apart) = (&self.area, &self.apart);
        if area.is_none() && apart.crowds.is_empty() {
            return true;
        }
        member.and_then(|member| member.position).is_some_and(|position| {
            area.as_ref().is_none_or(|within| within.area.contains(position))
                && !apart.is_crowded(position.unit_vector())
        })
    }

    /// Whether an agent's place matters at all.
    pub(super) fn is_somewhere(&self) -> bool {
        let near = self.near.is_some();
        self.area.is_some() || self.within_m.is_some() || (near && self.weighing.counts_distance())
    }
}

impl<'a> Within<'a> {
    fn new(area: &'a Area) -> Self {
        let cap = area.bounds();
        Self { area, centre: cap.centre.unit_vector(), radius_m: cap.radius_m }
    }
}

/// Words on their way into a query.
#[derive(Default)]
struct Wanted {
    required: Vec<Vec<Token>>,
    barred: Vec<Token>,
}

impl Wanted {
    /// Asks for one of several words; `None` when the fleet knows none of them.
    fn one_of(&mut self, words: impl IntoIterator<Item = Token>) -> Option<()> {
        let words: Vec<Token> = words.into_iter().collect();
        if words.is_empty() {
            return None;
        }
        self.required.push(words);
        Some(())
    }
}

/// What the capacity term looks at, in its order.
fn amounts(needs: &Resources) -> Vec<Amount> {
    let nothing_asked = needs.is_zero();
    let all = needs.scalars().into_iter().enumerate();
    all.filter(|&(resource, needed)| needed > 0 || (nothing_asked && resource < 2))
        .map(|(resource, needed)| Amount { resource, needed })
        .collect()
}

fn counts(needs: &Resources, dictionary: &Dictionary) -> Option<Vec<Count>> {
    let asked = needs.devices.iter().filter(|&(_, &needed)| needed > 0);
    asked
        .map(|(name, &needed)| {
            let token = dictionary.device(name)?;
            let most = dictionary.most(token);
            let left = most.checked_sub(needed)?;
            Some(Count { token, needed, share_max: free_share(left.into(), most.into()) })
        })
        .collect()
}

//! What keeps a task away from the other members of its groups, in the terms of the index: words and
//! agents that are full, and circles round members, which are asked last and of few.

use shared::spec::{Per, Together, ZONE_LABEL};

use super::super::Request;
use super::super::groups::{Crowd, Full};
use super::dictionary::{Dictionary, Token};
use crate::fleet::Number;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// Of each of these lists, one word: who has none cannot be told apart.
    pub(super) required: Vec<Vec<Token>>,
    /// None of these words.
    pub(super) full: Vec<Token>,
    /// None of these agents.
    pub(super) full_agents: Vec<Number>,
    /// Not within these, and with a known place if there are any.
    pub(super) crowds: Vec<Crowd>,
}

impl Apart {
    pub(super) fn of(request: &Request<'_>, dictionary: &Dictionary) -> Self {
        let mut apart = Self::default();
        for rule in &request.spec.place.spread {
            match rule.together {
                Together::Per(Per::Region) => {
                    let regions = dictionary.all_regions().map(|(_, token)| token);
                    apart.required.push(regions.collect());
                }
                Together::Per(Per::Zone) => {
                    apart.required.push(dictionary.label_key(ZONE_LABEL).into_iter().collect());
                }
                Together::Per(Per::Agent) | Together::WithinM(_) => {}
            }
            match request.groups.full(rule) {
                Full::Regions(full) => {
                    apart.full.extend(full.into_iter().filter_map(|word| dictionary.region(word)));
                }
                Full::Zones(full) => {
                    let token = |zone| dictionary.label(ZONE_LABEL, zone);
                    apart.full.extend(full.into_iter().filter_map(token));
                }
                Full::Agents(full) => apart.full_agents.extend(full),
                Full::Near(crowd) => apart.crowds.push(crowd),
            }
        }
        apart
    }

    /// Whether some of a group are too near to a point of the unit sphere.
    pub(super) fn is_crowded(&self, point: [f64; 3]) -> bool {
        self.crowds.iter().any(|crowd| crowd.is_full_at(point))
    }
}

//! Reading, checking, resolving, and that nothing is lost between them.

use proptest::collection::btree_map;
use proptest::option::of;
use proptest::prelude::*;
use serde_json::json;
use shared::api::{BatchStrategy, PolicyFilters, PolicyProfile, ProfileFilters, ProfileWeights};

use super::{Policy, Weights};

fn problem(document: &serde_json::Value) -> (String, String) {
    let problems = Policy::parse(document).expect_err("refused");
    (problems[0].pointer.clone(), problems[0].detail.clone())
}

#[test]
fn a_profile_says_what_differs_and_the_rest_is_the_policys() {
    let policy = Policy::parse(&json!({
        "weights": {"load": 7, "distance": 9}, "packing": true, "budget_us": 500, "batch": "assign",
        "filters": {"region": false},
        "profiles": {
            "near": {"weights": {"distance": 90}, "packing": false, "budget_us": 0},
            "home": {"filters": {"region": true, "too_far": false}, "distance_m_ref": 5.0},
        },
    }))
    .expect("a policy");
    assert_eq!(*policy.of(None), policy);
    let near = policy.of(Some("near"));
    assert_eq!(near.weights, Weights { load: 7, capacity: 40, distance: 90, latency: 10 });
    assert_eq!((near.packing, near.budget_us, near.batch), (false, None, BatchStrategy::Assign));
    assert!(!near.filters.region && near.filters.too_far);
    let home = policy.of(Some("home"));
    assert!(home.filters.region && !home.filters.too_far && home.filters.latency_unknown);
    assert_eq!((home.distance_m_ref, home.budget_us, home.packing), (5.0, Some(500), true));
    assert_eq!(*policy.of(Some("gone")), policy, "a profile that is not there is none");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place_and_a_way_out() {
    for (document, pointer, told) in [
        (json!({"filters": {"offline": false}}), "/filters/offline", "is always on"),
        (json!({"filters": {"suspect": false}}), "/filters/suspect", "is always on"),
        (json!({"filters": {"regoin": false}}), "/filters/regoin", "did you mean `region`?"),
        (json!({"filters": {"zzz": false}}), "/filters/zzz", "those that can be turned off: "),
        (json!({"filters": {"region": 0}}), "/filters/region", "must be true or false, not 0"),
        (json!({"budget_us": 1_000_001}), "/budget_us", "from 0 to 1000000"),
        (json!({"batch": "all"}), "/batch", "must be one of greedy, assign, auto"),
        (json!({"profiles": {"a b": {}}}), "/profiles/a b", "is no name for a profile"),
        (json!({"profiles": {"default": {}}}), "/profiles/default", "beside `profiles`"),
        (json!({"profiles": {"x": {"profiles": {}}}}), "/profiles/x/profiles", "unknown field"),
        (json!({"profiles": {"x": {"version": 1}}}), "/profiles/x/version", "unknown field"),
        (
            json!({"profiles": {"x": {"filters": {"cpu": true}}}}),
            "/profiles/x/filters/cpu",
            "is always on",
        ),
        (
            json!({"profiles": {"x": {"distance_m_ref": 0}}}),
            "/profiles/x/distance_m_ref",
            "must be a number above 0",
        ),
        (
            json!({"weights": {"load": 0, "capacity": 0, "latency": 0},
                   "profiles": {"x": {"weights": {"distance": 0}}}}),
            "/profiles/x/weights",
            "at least one term",
        ),
        (json!({"profiles": 3}), "/profiles", "must be an object"),
    ] {
        let (at, detail) = problem(&document);
        assert_eq!(at, pointer, "{document}: {detail}");
        assert!(detail.contains(told), "{document}: {detail}");
    }
    let many = (0..65).map(|number| (format!("p{number}"), json!({})));
    let many = json!({"profiles": many.collect::<serde_json::Map<_, _>>()});
    assert_eq!(problem(&many).0, "/profiles");
}

#[test]
fn what_an_earlier_core_stored_is_read() {
    let stored = r#"{"version":3,"weights":{"load":1,"capacity":2,"distance":3,"latency":4},
        "distance_m_ref":5.0,"latency_ms_ref":6.0,"packing":true}"#;
    let policy: Policy = serde_json::from_str(stored).expect("a policy");
    let expected = Policy {
        version: 3,
        weights: Weights { load: 1, capacity: 2, distance: 3, latency: 4 },
        distance_m_ref: 5.0,
        latency_ms_ref: 6.0,
        packing: true,
        ..Policy::default()
    };
    assert_eq!(policy, expected);
}

fn weights() -> impl Strategy<Value = ProfileWeights> {
    let weight = || of(1..=1_000_u32);
    (weight(), weight(), weight(), weight()).prop_map(|(load, capacity, distance, latency)| {
        ProfileWeights { load, capacity, distance, latency }
    })
}

fn filters() -> impl Strategy<Value = ProfileFilters> {
    any::<[Option<bool>; 5]>().prop_map(|on| {
        let [region, too_far, outside_area, latency_too_high, latency_unknown] = on;
        ProfileFilters { region, too_far, outside_area, latency_too_high, latency_unknown }
    })
}

fn profile() -> impl Strategy<Value = PolicyProfile> {
    let reference = || of(0.001..1e9);
    let batch = prop::sample::select(BatchStrategy::ALL.map(|(_, strategy)| strategy).to_vec());
    let which = (of(any::<bool>()), of(0..=1_000_000_u32), of(batch));
    (weights(), reference(), reference(), filters(), which).prop_map(
        |(weights, distance_m_ref, latency_ms_ref, filters, (packing, budget_us, batch))| {
            PolicyProfile {
                weights,
                distance_m_ref,
                latency_ms_ref,
                packing,
                filters,
                budget_us,
                batch,
            }
        },
    )
}

/// Any policy that makes sense.
pub fn policy() -> impl Strategy<Value = Policy> {
    (profile(), btree_map("[a-c]{1,2}", profile(), 0..4))
        .prop_map(|(usual, profiles)| Policy { profiles, ..Policy::default().with(&usual) })
}

proptest! {
    #[test]
    fn no_document_breaks_the_reader(
        weight: f64, reference: f64, key in ".{0,8}", text in ".{0,8}", yes: bool,
    ) {
        let weights = json!({"load": weight, "capacity": reference, key.clone(): text});
        let filters = json!({"region": yes, key.clone(): weight});
        let profiles = json!({key.clone(): {"weights": weights, "filters": filters}});
        let document = json!({
            "weights": weights, "distance_m_ref": reference, "filters": filters,
            "profiles": profiles, key: [weight],
        });
        if let Err(problems) = Policy::parse(&document) {
            prop_assert!(!problems.is_empty());
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same(policy in policy()) {
        let document = serde_json::to_value(policy.document().policy).expect("JSON");
        prop_assert_eq!(Policy::parse(&document), Ok(policy.clone()));
        let stored = serde_json::to_string(&policy).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Policy>(&stored).expect("a policy"), policy);
    }

    #[test]
    fn what_a_profile_comes_to_has_nothing_more_to_come_to(policy in policy(), name in "[a-c]{1,2}") {
        let once = policy.of(Some(&name)).into_owned();
        prop_assert_eq!(&*once.of(Some(&name)), &once);
        prop_assert!(once.check().is_ok());
    }

    #[test]
    fn an_empty_profile_is_the_policy(policy in policy()) {
        let usual = Policy { profiles: [].into(), ..policy.clone() };
        prop_assert_eq!(policy.with(&PolicyProfile::default()), usual);
        let same = PolicyFilters::default();
        prop_assert_eq!(Policy::default().filters, same);
    }
}

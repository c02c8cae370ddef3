//! What another policy would change, for people.

use shared::api::{Candidate, PolicyReplay, ReplayCounts, ReplayMeans};
use shared_runtime::table::{Table, terminal_width};

use crate::client::output::{distance, tame};

/// The replay in tables: what becomes of the placements, what the places are like, by profile, and
/// who would gain or lose.
pub fn table(replay: &PolicyReplay) -> String {
    let mut text = sentence(replay);
    for profile in &replay.unknown_profiles {
        text.push_str(&format!(
            "tasks ask for the profile {}, which this policy does not have\n",
            tame(profile)
        ));
    }
    text.push('\n');
    text.push_str(&outcomes(replay));
    text.push('\n');
    text.push_str(&means(&replay.before, &replay.after));
    if !replay.agents.is_empty() {
        let mut rows = vec![["AGENT", "BEFORE", "AFTER"].map(str::to_owned)];
        rows.extend(
            replay
                .agents
                .iter()
                .map(|one| [one.agent.to_string(), one.before.to_string(), one.after.to_string()]),
        );
        text.push('\n');
        text.push_str(&Table { give_way: &[0], rows, paint: None }.show(terminal_width()));
    }
    if !replay.examples.is_empty() {
        text.push('\n');
        text.push_str(&examples(replay));
    }
    text
}

fn sentence(replay: &PolicyReplay) -> String {
    let PolicyReplay { policy, placements, live, drifted, .. } = replay;
    if *placements == 0 {
        return format!("nothing to compare with policy {policy}: no placement is recorded\n");
    }
    let drift = match drifted {
        0 => String::new(),
        _ => format!("; policy {policy}, too, would put {drifted} elsewhere by now"),
    };
    format!(
        "compared with policy {policy} on the fleet as it is now: {placements} placements, {live} of \
         them not over{drift}\n"
    )
}

fn outcomes(replay: &PolicyReplay) -> String {
    let row = |name: String, counts: &ReplayCounts| {
        let ReplayCounts { stay, moved, gain, lose, nowhere } = counts;
        let [stay, moved, gain, lose, nowhere] =
            [stay, moved, gain, lose, nowhere].map(u64::to_string);
        [name, stay, moved, gain, lose, nowhere]
    };
    let names = ["PROFILE", "STAY", "MOVE", "GAIN A PLACE", "LOSE IT", "HAVE NONE"];
    let mut rows = vec![names.map(str::to_owned)];
    for one in &replay.profiles {
        rows.push(row(one.profile.as_deref().map_or("(none)".to_owned(), tame), &one.change));
    }
    rows.push(row("all".to_owned(), &replay.change));
    Table { give_way: &[0], rows, paint: None }.show(terminal_width())
}

fn means(before: &ReplayMeans, after: &ReplayMeans) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let metres = |value: Option<f64>| value.map_or("-".to_owned(), distance);
    let time = |value: Option<f64>| value.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
    let of = |means: &ReplayMeans| {
        let terms = means.terms;
        [
            number(means.score),
            number(terms.map(|terms| terms.load)),
            number(terms.map(|terms| terms.capacity)),
            number(terms.and_then(|terms| terms.distance)),
            number(terms.map(|terms| terms.latency)),
            metres(means.distance_m_median),
            metres(means.distance_m_mean),
            time(means.latency_ms_mean),
        ]
    };
    let names = [
        "score",
        "load",
        "capacity",
        "distance",
        "latency",
        "away, median",
        "away, mean",
        "round trip",
    ];
    let mut rows = vec![["MEAN", "BEFORE", "AFTER"].map(str::to_owned)];
    let values = names.into_iter().zip(of(before)).zip(of(after));
    rows.extend(values.map(|((name, before), after)| [name.to_owned(), before, after]));
    Table { give_way: &[0], rows, paint: None }.show(terminal_width())
}

fn examples(replay: &PolicyReplay) -> String {
    let agent = |one: &Option<Candidate>| {
        let away = |one: &Candidate| {
            one.distance_m.map_or(String::new(), |m| format!(" ({})", distance(m)))
        };
        one.as_ref().map_or("nowhere".to_owned(), |one| format!("{}{}", one.agent, away(one)))
    };
    let mut rows = vec![["TASK", "NAME", "PROFILE", "BEFORE", "AFTER", "GAIN"].map(str::to_owned)];
    rows.extend(replay.examples.iter().map(|one| {
        [
            one.task.to_string(),
            tame(one.name.as_deref().unwrap_or_default()),
            tame(one.profile.as_deref().unwrap_or_default()),
            agent(&one.before),
            agent(&one.after),
            one.gain.map_or(String::new(), |gain| format!("{gain:.3}")),
        ]
    }));
    Table { give_way: &[1, 2, 3, 4], rows, paint: None }.show(terminal_width())
}

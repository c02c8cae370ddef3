//! The border of task specs: a JSON value in, a [`TaskSpec`] or everything that is wrong with it
//! out. TOML and YAML come through here too, once they are values.

use serde_json::Value;

use super::{
    Disconnect, Exec, GROUP_BYTES_MAX, NAME_BYTES_MAX, Near, PROFILE_BYTES_MAX, Per, Place,
    Preference, RUN_BYTES_MAX, Reconcile, Retry, Run, SPREAD_MAX, Spread, TaskSpec, Together,
    YEAR_S,
};
use crate::border::{Fields, Problem, Problems, choice, describe, text_of};
use crate::capacity::Resources;
use crate::geo::{Area, Position};
use crate::id::AgentId;
use crate::label::{self, Expression, LABEL_VALUE_BYTES_MAX, LABELS_MAX, Labels, Operator};

const WORD_BYTES_MAX: usize = 128;
const LIST_MAX: usize = 1_000;

/// Reads a task spec.
///
/// # Errors
/// Every problem found (at most [`crate::border::PROBLEMS_MAX`]), each with its JSON pointer.
pub fn parse(document: &Value) -> Result<TaskSpec, Vec<Problem>> {
    let mut problems = Problems::default();
    let spec = task(document, &mut problems);
    match spec {
        Some(spec) => problems.into_result(spec),
        None => {
            problems.into_result(())?;
            Err(vec![Problem { pointer: String::new(), detail: "is not a task".to_owned() }])
        }
    }
}

fn task(document: &Value, problems: &mut Problems) -> Option<TaskSpec> {
    let mut fields = Fields::of(document, "", problems)?;
    let name = fields.text("name", NAME_BYTES_MAX, problems);
    let labels = labels(&mut fields, problems);
    let run = match fields.raw("run") {
        Some(value) => run(value, problems),
        None => {
            problems.add(
                "/run",
                r#"is missing; write what to run, for example {"exec": {"command": "/bin/true"}}"#,
            );
            None
        }
    };
    let needs = needs(&mut fields, problems);
    let place = fields.object("where", problems).map(|place| self::place(place, problems));
    let prefer = fields.object("prefer", problems).map(|prefer| preference(prefer, problems));
    let priority = fields.integer("priority", 0..=100, problems);
    let timeout_s = match fields.is_null("timeout_s") {
        true => fields.raw("timeout_s").and(None),
        false => Some(
            fields
                .integer("timeout_s", 1..=YEAR_S, problems)
                .unwrap_or(TaskSpec::TIMEOUT_S_DEFAULT),
        ),
    };
    let deadline_s = fields.integer("deadline_s", 1..=YEAR_S, problems);
    let retry = fields.object("retry", problems).map(|retry| self::retry(retry, problems));
    let disconnect =
        fields.object("disconnect", problems).map(|fields| self::disconnect(fields, problems));
    let exclusive = fields.boolean("exclusive", problems).unwrap_or(false);
    fields.finish(problems);
    Some(TaskSpec {
        name,
        labels,
        needs,
        place: place.unwrap_or_default(),
        prefer: prefer.unwrap_or_default(),
        priority: priority
            .and_then(|number| u8::try_from(number).ok())
            .unwrap_or(TaskSpec::PRIORITY_DEFAULT),
        timeout_s,
        deadline_s,
        retry: retry.unwrap_or_default(),
        disconnect: disconnect.unwrap_or_default(),
        exclusive,
        ..TaskSpec::new(run?)
    })
}

fn run(value: &Value, problems: &mut Problems) -> Option<Run> {
    let mut fields = Fields::of(value, "/run", problems)?;
    let exec = fields.raw("exec").map(|value| exec(value, problems));
    let noop = fields.object("noop", problems).map(|noop| noop.finish(problems));
    fields.finish(problems);
    let run = match (exec, noop) {
        (Some(exec), None) => Run::Exec(exec?),
        (None, Some(())) => Run::Noop {},
        (Some(_), Some(())) => {
            problems.add("/run", "must hold one of `exec` and `noop`, not both");
            return None;
        }
        (None, None) => {
            problems.add("/run", "must hold one of `exec` (a process) and `noop` ({})");
            return None;
        }
    };
    let bytes = serde_json::to_vec(&run).map_or(usize::MAX, |text| text.len());
    if bytes > RUN_BYTES_MAX {
        problems.add(
            "/run",
            format!(
                "is {bytes} bytes of JSON, but at most {RUN_BYTES_MAX} fit into a message to an \
                 agent; put large input into a file that the task fetches"
            ),
        );
    }
    Some(run)
}

fn exec(value: &Value, problems: &mut Problems) -> Option<Exec> {
    let mut fields = Fields::of(value, "/run/exec", problems)?;
    let command = fields.text("command", 4096, problems);
    if command.as_deref().is_none_or(str::is_empty) {
        problems.add("/run/exec/command", "must name the program to run, such as /usr/bin/python3");
    }
    let args = fields.texts("args", LIST_MAX, RUN_BYTES_MAX, problems);
    let mut env = std::collections::BTreeMap::new();
    for (pointer, key, value) in fields.entries("env", LIST_MAX, problems) {
        if key.is_empty() || key.contains(['=', '\0']) {
            problems.add(pointer, "a variable's name must not be empty or hold `=` or NUL");
        } else if let Some(text) = text_of(value, pointer, RUN_BYTES_MAX, problems) {
            env.insert(key.to_owned(), text);
        }
    }
    let dir = fields.text("dir", 4096, problems);
    if dir.as_ref().is_some_and(|dir| !dir.starts_with('/')) {
        problems.add("/run/exec/dir", "must be an absolute path on the agent, or null");
    }
    fields.finish(problems);
    Some(Exec { command: command?, args, env, dir })
}

/// Reads the field `labels` of an object.
pub(crate) fn labels(fields: &mut Fields<'_>, problems: &mut Problems) -> Labels {
    let mut labels = Labels::new();
    for (pointer, key, value) in fields.entries("labels", LABELS_MAX, problems) {
        if let Err(detail) = label::check_key(key) {
            problems.add(pointer, detail);
        } else if let Some(text) = text_of(value, pointer, LABEL_VALUE_BYTES_MAX, problems) {
            labels.insert(key.to_owned(), text);
        }
    }
    labels
}

fn needs(fields: &mut Fields<'_>, problems: &mut Problems) -> Resources {
    let Some(mut fields) = fields.object("needs", problems) else {
        return Resources::default();
    };
    let most = 1 << 40;
    let mut amount = |name| fields.integer(name, 0..=most, problems).unwrap_or(0);
    let mut needs = Resources {
        cpu_millis: amount("cpu_millis"),
        memory_mib: amount("memory_mib"),
        disk_mib: amount("disk_mib"),
        bandwidth_kbps: amount("bandwidth_kbps"),
        devices: std::collections::BTreeMap::new(),
    };
    for (pointer, name, value) in fields.entries("devices", LABELS_MAX, problems) {
        if let Err(detail) = label::check_key(name) {
            problems.add(pointer, detail.replace("label key", "device name"));
            continue;
        }
        match value.as_u64().and_then(|count| u32::try_from(count).ok()) {
            Some(0) => {}
            Some(count) => {
                needs.devices.insert(name.to_owned(), count);
            }
            None => {
                let found = describe(value);
                problems.add(pointer, format!("must be a whole number of devices, not {found}"));
            }
        }
    }
    fields.finish(problems);
    needs
}

fn place(mut fields: Fields<'_>, problems: &mut Problems) -> Place {
    let near = fields.object("near", problems).and_then(|near| self::near(near, problems));
    let area = fields.raw("area").and_then(|value| match Area::from_geojson(value) {
        Ok(area) => Some(area),
        Err(error) => {
            problems.add(format!("/where/area{}", error.pointer()), error.to_string());
            None
        }
    });
    let place = Place {
        near,
        area,
        regions: fields.texts("regions", LIST_MAX, WORD_BYTES_MAX, problems),
        latency_ms_max: fields.number("latency_ms_max", 0.0..=1e9, problems),
        labels: labels(&mut fields, problems),
        expressions: fields
            .list("expressions", LABELS_MAX, problems)
            .into_iter()
            .filter_map(|(pointer, value)| expression(value, pointer, problems))
            .collect(),
        arch: fields.texts("arch", LABELS_MAX, WORD_BYTES_MAX, problems),
        agents: agents(&mut fields, "agents", problems),
        avoid_agents: agents(&mut fields, "avoid_agents", problems),
        tolerate: fields.texts("tolerate", LABELS_MAX, WORD_BYTES_MAX, problems),
        spread: fields
            .list("spread", SPREAD_MAX, problems)
            .into_iter()
            .filter_map(|(pointer, value)| spread(value, pointer, problems))
            .collect(),
    };
    fields.finish(problems);
    place
}

fn near(mut fields: Fields<'_>, problems: &mut Problems) -> Option<Near> {
    let mut degree = |name, most: f64| {
        if fields.raw(name).is_none() {
            problems.add(format!("/where/near/{name}"), "is missing; write WGS84 degrees");
            return None;
        }
        fields.number(name, -most..=most, problems)
    };
    let (latitude, longitude) = (degree("latitude", 90.0), degree("longitude", 180.0));
    // Half the Earth's circumference is as far as anything can be.
    let within_m = fields.number("within_m", 0.0..=20_040_000.0, problems);
    fields.finish(problems);
    let position = Position::new(latitude?, longitude?).ok()?;
    Some(Near { position, within_m })
}

fn expression(value: &Value, pointer: String, problems: &mut Problems) -> Option<Expression> {
    let mut fields = Fields::of(value, pointer.clone(), problems)?;
    let key = fields.text("key", label::LABEL_KEY_BYTES_MAX, problems).unwrap_or_default();
    if let Err(detail) = label::check_key(&key) {
        problems.add(format!("{pointer}/key"), detail);
    }
    let op = choice(&mut fields, "op", &Operator::ALL, problems);
    let values = fields.texts("values", LIST_MAX, LABEL_VALUE_BYTES_MAX, problems);
    fields.finish(problems);
    let Some(op) = op else {
        if value.get("op").is_none() {
            problems
                .add(format!("{pointer}/op"), "is missing; write in, not_in, exists or not_exists");
        }
        return None;
    };
    match op {
        Operator::In | Operator::NotIn if values.is_empty() => {
            problems.add(format!("{pointer}/values"), "must list at least one value");
        }
        Operator::Exists | Operator::NotExists if !values.is_empty() => {
            problems.add(format!("{pointer}/values"), "must be left out for exists and not_exists");
        }
        _ => {}
    }
    Some(Expression { key, op, values })
}

fn spread(value: &Value, pointer: String, problems: &mut Problems) -> Option<Spread> {
    let mut fields = Fields::of(value, pointer.clone(), problems)?;
    let group = fields.text("group", GROUP_BYTES_MAX, problems);
    if fields.raw("group").is_none() || group.as_deref() == Some("") {
        problems.add(format!("{pointer}/group"), "must name the group, for example \"web\"");
    }
    let max = fields.integer("max", 1..=1_000_000, problems).unwrap_or(1);
    let (has_per, has_distance) = (fields.raw("per").is_some(), fields.raw("within_m").is_some());
    let per = choice(&mut fields, "per", &Per::ALL, problems);
    let within_m = fields.number("within_m", 0.0..=20_040_000.0, problems);
    fields.finish(problems);
    let together = match (has_per, has_distance) {
        (true, false) => Together::Per(per?),
        (false, true) => Together::WithinM(within_m?),
        (true, true) => {
            problems.add(pointer, "must hold one of `per` and `within_m`, not both");
            return None;
        }
        (false, false) => {
            let detail = "must say how far apart: `per` (region, zone or agent) or `within_m`";
            problems.add(pointer, detail);
            return None;
        }
    };
    Some(Spread { group: group?, max: u32::try_from(max).ok()?, together })
}

pub(crate) fn agents(
    fields: &mut Fields<'_>,
    name: &'static str,
    problems: &mut Problems,
) -> Vec<AgentId> {
    let mut agents = Vec::new();
    for (pointer, value) in fields.list(name, LIST_MAX, problems) {
        match value.as_str().unwrap_or_default().parse() {
            Ok(id) => agents.push(id),
            Err(error) => problems.add(pointer, format!("{error}")),
        }
    }
    agents
}

fn preference(mut fields: Fields<'_>, problems: &mut Problems) -> Preference {
    let mut weight = |name| {
        let weight = fields.integer(name, 0..=1_000, problems);
        weight.and_then(|weight| u32::try_from(weight).ok())
    };
    let prefer = Preference {
        load: weight("load"),
        capacity: weight("capacity"),
        distance: weight("distance"),
        latency: weight("latency"),
        profile: fields.text("profile", PROFILE_BYTES_MAX, problems),
    };
    fields.finish(problems);
    let all = [prefer.load, prefer.capacity, prefer.distance, prefer.latency];
    if all == [Some(0); 4] {
        problems.add("/prefer", "must give at least one term a weight above 0");
    }
    prefer
}

fn retry(mut fields: Fields<'_>, problems: &mut Problems) -> Retry {
    let usual = Retry::default();
    let attempts_max = fields.integer("attempts_max", 1..=100, problems);
    let retry = Retry {
        attempts_max: attempts_max
            .and_then(|number| u32::try_from(number).ok())
            .unwrap_or(usual.attempts_max),
        delay_s: fields.integer("delay_s", 0..=86_400, problems).unwrap_or(usual.delay_s),
        delay_s_max: fields
            .integer("delay_s_max", 0..=7 * 86_400, problems)
            .unwrap_or(usual.delay_s_max),
    };
    fields.finish(problems);
    retry
}

fn disconnect(mut fields: Fields<'_>, problems: &mut Problems) -> Disconnect {
    let usual = Disconnect::default();
    let chosen = Disconnect {
        lost_after_s: fields
            .integer("lost_after_s", 0..=YEAR_S, problems)
            .unwrap_or(usual.lost_after_s),
        stop_after_s: fields.integer("stop_after_s", 1..=YEAR_S, problems),
        replace: fields.boolean("replace", problems).unwrap_or(usual.replace),
        reconcile: choice(&mut fields, "reconcile", &Reconcile::ALL, problems)
            .unwrap_or(usual.reconcile),
    };
    fields.finish(problems);
    chosen
}

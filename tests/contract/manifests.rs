//! The walls: what each package's manifest may name.

use toml::{Table, Value};

use crate::source::{self, Source, assert_none};

/// Packages that decide and never act.
const PURE: &[&str] = &["shared", "cloud-core-logic", "edge-agent-logic"];

/// All that a pure package may name beside packages of ours: values, numbers, text. Whatever else
/// there is could do I/O, read the clock or draw lots.
const HARMLESS: &[&str] =
    &["cron", "geo", "jiff", "schemars", "serde", "serde_json", "strsim", "thiserror", "uuid"];

/// Which packages of ours each one may name.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("shared", &[]),
    ("shared-runtime", &["shared"]),
    ("cloud-core-logic", &["shared"]),
    ("edge-agent-logic", &["shared"]),
    ("cloud-core", &["shared", "shared-runtime", "cloud-core-logic"]),
    ("edge-agent", &["shared", "shared-runtime", "edge-agent-logic"]),
    // Where the two towers may be seen together.
    ("simulator", &["shared", "cloud-core-logic", "edge-agent-logic"]),
    (
        "benchmarks",
        &[
            "shared",
            "shared-runtime",
            "cloud-core-logic",
            "cloud-core",
            "edge-agent-logic",
            "edge-agent",
            "simulator",
            "tests",
        ],
    ),
];

/// The package of the tests may name everything.
const SEES_ALL: &str = "tests";

fn faults(manifest: &Source) -> Vec<String> {
    let table: Table = manifest.text.parse().expect("a manifest is TOML");
    let Some(package) = table.get("package") else {
        return Vec::new();
    };
    let package = package["name"].as_str().expect("a package has a name");
    if package == SEES_ALL {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == package) else {
        return vec![format!("{}: nobody has said what {package} may name", manifest.path)];
    };
    let ours = |name: &str| name == SEES_ALL || MAY_NAME.iter().any(|(own, _)| *own == name);
    let mut faults = Vec::new();
    for (kind, name) in dependencies(&table) {
        let foreign = !ours(&name);
        // What only tests need may do anything, except look over the wall.
        let breaks_wall = ours(&name) && !allowed.contains(&name.as_str());
        let acts = foreign
            && PURE.contains(&package)
            && kind != "dev-dependencies"
            && !HARMLESS.contains(&name.as_str());
        if breaks_wall || acts {
            faults.push(format!("{}: {package} must not name {name}", manifest.path));
        }
    }
    faults
}

/// All dependencies of a manifest: the table they stand in, and the package meant.
fn dependencies(table: &Table) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in table {
        let Some(inner) = value.as_table() else {
            continue;
        };
        if key.ends_with("dependencies") {
            found.extend(inner.iter().map(|(name, value)| {
                let renamed = value.get("package").and_then(Value::as_str);
                (key.clone(), renamed.unwrap_or(name).to_owned())
            }));
        } else if key == "target" {
            found.extend(inner.values().filter_map(Value::as_table).flat_map(dependencies));
        }
    }
    found
}

#[test]
fn each_package_names_only_what_it_may() {
    let manifests: Vec<Source> =
        source::all().into_iter().filter(|source| source.path.ends_with("/Cargo.toml")).collect();
    assert_eq!(manifests.len(), MAY_NAME.len() + 1, "a package is not looked at");
    assert_none(&manifests.iter().flat_map(faults).collect::<Vec<_>>());
}

#[test]
fn a_hole_in_a_wall_is_found() {
    let try_on = |name: &str, dependencies: &str| {
        let text = format!("[package]\nname = \"{name}\"\n{dependencies}");
        faults(&Source::example("x/Cargo.toml", &text)).len()
    };
    assert_eq!(try_on("shared", "[dependencies]\nserde = \"1\""), 0);
    assert_eq!(try_on("shared", "[dependencies]\ntokio = \"1\""), 1);
    assert_eq!(try_on("shared", "[dependencies]\nserde = { package = \"tokio\" }"), 1);
    assert_eq!(try_on("shared", "[dev-dependencies]\nproptest = \"1\""), 0);
    assert_eq!(try_on("cloud-core-logic", "[target.'cfg(unix)'.dependencies]\nlibc = \"0.2\""), 1);
    assert_eq!(try_on("cloud-core-logic", "[dependencies]\nshared-runtime.workspace = true"), 1);
    assert_eq!(try_on("cloud-core", "[dev-dependencies]\nedge-agent.workspace = true"), 1);
    assert_eq!(try_on("edge-agent", "[dependencies]\ncloud-core-logic.workspace = true"), 1);
    assert_eq!(try_on("newcomer", ""), 1);
}

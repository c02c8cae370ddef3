//! The tour: a development fleet shown doing its job. Every scene checks what it shows, so that a
//! tour that ends well is a proof, and one that does not names the scene.

use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::alone;
use super::boards::Boards;
use super::client::Client;

/// How long a scene may wait for what it has to show.
const PATIENCE: Duration = Duration::from_secs(60);

/// Shows all scenes.
///
/// # Errors
/// What did not happen, and in which scene.
pub async fn show(client: &Client, boards: &mut Boards) -> anyhow::Result<()> {
    let client = client.clone();
    fleet(&client).await.context("scene: the fleet")?;
    places(&client).await.context("scene: tasks that belong to a place")?;
    refusal(&client).context("scene: a refusal explained")?;
    power_cut(&client, boards).await.context("scene: a board loses its power")?;
    dark(&client, boards).await.context("scene: a board loses its link")?;
    alone::show(&client, boards).await.context("scene: a schedule fires on a board alone")?;
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}");
}

async fn fleet(client: &Client) -> anyhow::Result<()> {
    heading("The fleet: one agent in each of the most populous cities");
    println!(
        "  {:<18} {:>8} {:>9}  {:<9} {:>6}  {:>7}  labels",
        "agent", "latitude", "longitude", "region", "cores", "rtt ms"
    );
    // An agent tells its round trip with its first heartbeat.
    let agents = until("every agent has measured its round trip", || {
        let agents = client.get("/v1/agents?limit=500")?;
        let measured = items(&agents)?.iter().all(|agent| agent["latency_ms"].is_number());
        Ok(measured.then_some(agents))
    })
    .await?;
    for agent in items(&agents)? {
        let labels: Vec<String> = agent["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| !matches!(key.as_str(), "arch" | "os"))
            .map(|(key, value)| format!("{key}={}", text(value)))
            .collect();
        println!(
            "  {:<18} {:>8.3} {:>9.3}  {:<9} {:>6.1}  {:>7}  {}",
            text(&agent["id"]),
            number(&agent["position"]["latitude"]),
            number(&agent["position"]["longitude"]),
            text(&agent["region"]),
            number(&agent["capacity"]["cpu_millis"]) / 1_000.0,
            agent["latency_ms"].as_f64().map_or("-".to_owned(), |rtt| format!("{rtt:.1}")),
            labels.join(" ")
        );
    }
    Ok(())
}

async fn places(client: &Client) -> anyhow::Result<()> {
    heading("Tasks that belong to a place");
    let say = |words: &str| json!({"exec": {"command": "/bin/sh", "args": ["-c", words]}});
    let tasks = [
        (
            "within 100 km of Shanghai's harbour",
            json!({"name": "harbour-check", "run": {"noop": {}},
                "where": {"near": {"latitude": 31.34, "longitude": 121.61, "within_m": 100_000}}}),
            Some("shanghai"),
        ),
        (
            "inside a polygon around the Bosphorus",
            json!({"name": "ferry-count", "run": say("echo 41 ferries at $AMBIT_AGENT_ID"),
                "where": {"area": {"type": "Polygon", "coordinates":
                    [[[28.5, 40.8], [29.5, 40.8], [29.5, 41.3], [28.5, 41.3], [28.5, 40.8]]]}}}),
            Some("istanbul"),
        ),
        (
            "on a board with a PM2.5 sensor, the nearer to Shenzhen the better",
            json!({"name": "air-quality-sample", "run": say("echo pm25 38 ug/m3"),
                "needs": {"cpu_millis": 500, "memory_mib": 128},
                "where": {"near": {"latitude": 22.54, "longitude": 114.07}, "labels": {"sensor": "pm25"}},
                "prefer": {"distance": 80, "load": 5, "capacity": 10, "latency": 5}}),
            Some("guangzhou"),
        ),
        (
            "with a camera, in Africa or Asia",
            json!({"name": "traffic-snapshot", "run": say("echo 1280x720"),
                "needs": {"devices": {"camera": 1}}, "where": {"regions": ["africa", "asia"]}}),
            None,
        ),
        (
            "anywhere, and bound to fail",
            json!({"name": "broken", "run": say("echo no such sensor >&2; exit 3"),
                "retry": {"attempts_max": 1}}),
            None,
        ),
    ];
    for (words, spec, expected) in tasks {
        let task = submit(client, &spec)?;
        let done = settled(client, &task).await?;
        println!("  {words}");
        tell(&done);
        let wanted = if spec["name"] == "broken" { "failed" } else { "succeeded" };
        ensure!(done["status"] == wanted, "{} ended {}", spec["name"], done["status"]);
        if let Some(agent) = expected {
            ensure!(done["agent"] == agent, "{} went to {}", spec["name"], done["agent"]);
        }
    }
    Ok(())
}

fn refusal(client: &Client) -> anyhow::Result<()> {
    heading("A refusal explained: within 50 km of Reykjavik, under 40 ms, with a lidar");
    let spec = json!({"run": {"noop": {}}, "needs": {"devices": {"lidar": 1}}, "where": {
        "near": {"latitude": 64.15, "longitude": -21.94, "within_m": 50_000},
        "latency_ms_max": 40}});
    let plan = client.post("/v1/tasks/plan", &spec)?;
    ensure!(plan["chosen"].is_null(), "an agent was found: {}", plan["chosen"]);
    let refused = plan["refused"].as_array().context("the plan names refusals")?;
    ensure!(!refused.is_empty(), "no refusal was named");
    for group in refused {
        let example = &group["examples"][0];
        let hope = if group["waiting_helps"] == true {
            "waiting can help"
        } else {
            "waiting does not help"
        };
        println!(
            "  {:>3} agents {:<17} {hope:<21}  {}: {}",
            group["count"],
            text(&group["reason"]),
            text(&example["agent"]),
            text(&example["detail"])
        );
    }
    Ok(())
}

async fn power_cut(client: &Client, boards: &mut Boards) -> anyhow::Result<()> {
    heading("A board loses its power while it works; its task finishes elsewhere");
    let spec = json!({"name": "long-work", "run": {"exec": {"command": "/bin/sh",
        "args": ["-c", "sleep 3; echo done by $AMBIT_AGENT_ID in attempt $AMBIT_ATTEMPT"]}},
        "where": {"near": {"latitude": 19.07, "longitude": 72.88}},
        "prefer": {"distance": 100, "load": 0, "capacity": 0, "latency": 0},
        "disconnect": {"lost_after_s": 1}});
    let task = submit(client, &spec)?;
    let first = running(client, &task).await?;
    let index = boards.find(&first).with_context(|| format!("{first} is none of our boards"))?;
    boards.power_off(index).await?;
    println!("  {first} was running it and is dead (SIGKILL)");
    let done = settled(client, &task).await?;
    tell(&done);
    ensure!(done["status"] == "succeeded", "the task ended {}", done["status"]);
    ensure!(done["agent"] != first.as_str(), "it ended on the dead board");
    let lost = &done["assignments"][0];
    ensure!(lost["status"] == "lost", "attempt 1 is {}", lost["status"]);
    println!("    attempt 1 on {first}: {}", text(&lost["detail"]));
    boards.power_on(index)?;
    status_of(client, &first, "online").await?;
    println!("  {first} has its power back and is online");
    Ok(())
}

async fn dark(client: &Client, boards: &mut Boards) -> anyhow::Result<()> {
    heading("A board loses its link while it works; its result arrives when it is back");
    let spec = json!({"name": "work-in-the-dark", "run": {"exec": {"command": "/bin/sh",
        "args": ["-c", "sleep 2; echo finished in the dark on $AMBIT_AGENT_ID"]}},
        "where": {"near": {"latitude": 6.45, "longitude": 3.39}},
        "prefer": {"distance": 100, "load": 0, "capacity": 0, "latency": 0},
        "disconnect": {"lost_after_s": 3_600}});
    let task = submit(client, &spec)?;
    let agent = running(client, &task).await?;
    let index = boards.find(&agent).with_context(|| format!("{agent} is none of our boards"))?;
    boards.all[index].link.cut();
    println!("  {agent} runs it and is cut off the broker");
    status_of(client, &agent, "offline").await?;
    let meanwhile = client.get(&format!("/v1/tasks/{task}"))?;
    println!(
        "  {agent} is offline; the task is {}, its attempt {}",
        text(&meanwhile["status"]),
        text(&meanwhile["assignments"][0]["status"])
    );
    finished_in_the_dark(boards, index).await?;
    println!("  {agent} has finished it and keeps the result; the core does not know yet");
    let meanwhile = client.get(&format!("/v1/tasks/{task}"))?;
    ensure!(meanwhile["outcome"].is_null(), "the core knew the result while the link was cut");
    boards.all[index].link.join();
    println!("  the link of {agent} is joined again");
    let done = settled(client, &task).await?;
    tell(&done);
    ensure!(done["status"] == "succeeded", "the task ended {}", done["status"]);
    ensure!(done["attempt"] == 1, "it took {} attempts", done["attempt"]);
    Ok(())
}

/// Waits until the agent's own database says that the result is there and waits to be sent.
async fn finished_in_the_dark(boards: &Boards, index: usize) -> anyhow::Result<()> {
    until("the task finished on its board", || {
        let status = boards.status(index)?;
        let waiting = status["reports_waiting"].as_u64().unwrap_or(0);
        let busy = status["tasks"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|task| task["state"] != "finished");
        Ok((waiting > 0 && !busy).then_some(()))
    })
    .await
}

fn submit(client: &Client, spec: &Value) -> anyhow::Result<String> {
    Ok(text(&client.post("/v1/tasks", spec)?["id"]).to_owned())
}

async fn running(client: &Client, task: &str) -> anyhow::Result<String> {
    until("the task runs", || {
        let document = client.get(&format!("/v1/tasks/{task}"))?;
        match document["status"].as_str() {
            Some("running") => Ok(Some(text(&document["agent"]).to_owned())),
            Some("pending" | "assigned") => Ok(None),
            other => bail!("the task is {other:?}"),
        }
    })
    .await
}

async fn settled(client: &Client, task: &str) -> anyhow::Result<Value> {
    until("the task is settled", || {
        let document = client.get(&format!("/v1/tasks/{task}"))?;
        Ok(Some(document).filter(|document| !document["outcome"].is_null()))
    })
    .await
}

/// Waits until an agent has a status.
///
/// # Errors
/// When it does not within a minute.
pub async fn status_of(client: &Client, agent: &str, status: &str) -> anyhow::Result<()> {
    until(&format!("{agent} is {status}"), || {
        let document = client.get(&format!("/v1/agents/{agent}"))?;
        Ok((document["status"] == status).then_some(()))
    })
    .await
}

/// Asks again and again until there is an answer.
///
/// # Errors
/// What the question failed with, or that the answer did not come within a minute.
pub async fn until<T>(
    what: &str,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        // The question may take a moment, and other tasks of this runtime have work to do.
        if let Some(answer) = tokio::task::block_in_place(&mut ask)? {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("waited {} s in vain until {what}", PATIENCE.as_secs())
}

/// What became of a task, for people.
fn tell(task: &Value) {
    let Some(last) = task["assignments"].as_array().and_then(|all| all.last()) else {
        return;
    };
    let distance = last["distance_m"]
        .as_f64()
        .map_or(String::new(), |metres| format!(", {:.0} km away", metres / 1_000.0));
    println!(
        "    → {}, attempt {}{distance}, score {:.3}",
        text(&last["agent"]),
        last["attempt"],
        number(&last["score"])
    );
    let outcome = &task["outcome"];
    let code =
        outcome["exit_code"].as_i64().map_or(String::new(), |code| format!(", exit code {code}"));
    let wrote =
        ["stdout_tail", "stderr_tail"].map(|stream| text(&outcome[stream]).trim().to_owned());
    let wrote: Vec<&str> =
        wrote.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let wrote = if wrote.is_empty() { String::new() } else { format!(": {}", wrote.join(" | ")) };
    println!("    {}{code}{wrote}", text(&task["status"]));
}

fn items(page: &Value) -> anyhow::Result<&Vec<Value>> {
    page["items"].as_array().context("the list has no items")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

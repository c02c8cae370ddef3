//! A scene of the tour: a board that is cut off fires a schedule by itself, and what it fired arrives
//! once it is back.

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::boards::Boards;
use super::client::Client;
use super::tour::{status_of, until};

/// The board that holds the schedule, and is cut off.
const BOARD: &str = "kinshasa";
/// How many firings are waited for while it is.
const FIRINGS: usize = 3;

pub(super) async fn show(client: &Client, boards: &mut Boards) -> anyhow::Result<()> {
    println!("\nA schedule fires on a board that is cut off; its results arrive when it is back");
    let index = boards.find(BOARD).with_context(|| format!("there is no board {BOARD}"))?;
    let spec = json!({"name": "every-second", "resident": true, "trigger": {"interval_s": 1},
        "missed": "skip", "overlap": "allow",
        "task": {"run": {"noop": {}}, "where": {"agents": [BOARD]}}});
    client.post("/v1/schedules", &spec)?;
    until("the board fires", || Ok((!fired(client)?.is_empty()).then_some(()))).await?;
    boards.all[index].link.cut();
    println!("  {BOARD} holds the schedule and is cut off the broker");
    status_of(client, BOARD, "offline").await?;
    let known = fired(client)?;
    until("it fires in the dark", || {
        let waiting = boards.status(index)?["reports_waiting"].as_u64().unwrap_or(0);
        // Each firing is told of twice: that it was made, and how it ended.
        Ok((waiting >= 2 * FIRINGS as u64).then_some(()))
    })
    .await?;
    ensure!(fired(client)?.len() == known.len(), "the core knew of firings while it was cut off");
    println!("  {BOARD} goes on firing; the core knows of {} firings", known.len());
    boards.all[index].link.join();
    let all = until("the firings arrive", || {
        let all = fired(client)?;
        Ok((all.len() >= known.len() + FIRINGS).then_some(all))
    })
    .await?;
    client.post("/v1/schedules/every-second/pause", &json!({}))?;
    let mut moments: Vec<&str> = all.iter().filter_map(|firing| firing["at"].as_str()).collect();
    moments.sort_unstable();
    let count = moments.len();
    moments.dedup();
    ensure!(moments.len() == count, "a moment was fired twice");
    let (first, last) = (moments.first().unwrap_or(&"-"), moments.last().unwrap_or(&"-"));
    println!("  it is back: {count} firings, each once, from {first} to {last}");
    Ok(())
}

/// The firings that made a task, as the core knows them.
fn fired(client: &Client) -> anyhow::Result<Vec<Value>> {
    let page = client.get("/v1/schedules/every-second/firings?limit=500")?;
    let items = page["items"].as_array().context("the list has no items")?;
    Ok(items.iter().filter(|firing| firing["status"] == "fired").cloned().collect())
}

//! The real edge: 816 users of the Melbourne CBD, each a task, and 125 base stations, each an agent
//! that covers 150 m and holds four to eight of them. What taking turns and placing together come
//! to, beside the optimum that an exact solver of its own finds.

mod optimum;

use std::collections::BTreeSet;

use cloud_core_logic::change::Flags;
use cloud_core_logic::fleet::{Agent, Fleet, Signal};
use cloud_core_logic::placement::{
    Choice, Policy, Request, Roster, Weights, candidate, is_feasible,
};
use shared::api::{AgentStatus, BatchStrategy};
use shared::capacity::Resources;
use shared::geo::Position;
use shared::spec::{Near, Run, TaskSpec};
use shared::wire::uplink::Facts;

use self::optimum::{Edge, optimum};
use super::fleet::Dice;
use super::now_us;
use crate::figure::Measured;

/// Latitude and longitude. See `tests/data/README.md`.
const SERVERS: &str = include_str!("../../../../data/eua/servers.csv");
const USERS: &str = include_str!("../../../../data/eua/users.csv");

/// How far a server reaches, and how many it serves at once.
const COVERS_M: f64 = 150.0;
const SERVES: [u32; 5] = [4, 5, 6, 7, 8];
/// Seeds for what each server serves.
const SEEDS: [u64; 3] = [1, 2, 3];

fn places(text: &str) -> Vec<Position> {
    let place = |line: &str| {
        let (latitude, longitude) = line.split_once(',')?;
        Position::new(latitude.parse().ok()?, longitude.parse().ok()?).ok()
    };
    text.lines().skip(1).map(|line| place(line).expect("a place")).collect()
}

fn server(name: usize, position: Position, dice: &mut Dice) -> Agent {
    Agent {
        id: format!("server-{name:03}").parse().expect("an agent id"),
        facts: Facts {
            schedules_max: 0,
            version: "0.1.0".to_owned(),
            position: Some(position),
            region: None,
            labels: Default::default(),
            taints: Vec::new(),
            arch: "x86_64".to_owned(),
            capacity: Resources::default(),
            tasks_max: dice.pick(&SERVES),
            runtimes: vec!["noop".to_owned()],
        },
        flags: Flags::default(),
        status: AgentStatus::Online,
        signal: Signal::default(),
        used: Resources::default(),
        assignments: 0,
        last_seen: None,
    }
}

fn user(position: Position) -> TaskSpec {
    let mut spec = TaskSpec::new(Run::Noop {});
    spec.place.near = Some(Near { position, within_m: Some(COVERS_M) });
    spec
}

/// Who serves whom.
struct Instance {
    fleet: Fleet,
    tasks: Vec<TaskSpec>,
    policy: Policy,
}

/// What comes of it.
struct Served {
    /// For each user the server, by its place in the fleet, and the score.
    by: Vec<Option<(usize, f64)>>,
    placed: usize,
    servers: usize,
    distance_m: f64,
    score: f64,
}

impl Instance {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let servers = places(SERVERS).into_iter().enumerate();
        let fleet = servers.map(|(name, place)| server(name, place, &mut dice)).collect();
        let tasks = places(USERS).into_iter().map(user).collect();
        // Nearness and nothing else: a score is worth the same whatever else a server does.
        let weights = Weights { load: 0, capacity: 0, distance: 1, latency: 0 };
        let policy = Policy { weights, distance_m_ref: COVERS_M, ..Policy::default() };
        Self { fleet, tasks, policy }
    }

    /// What the core comes to, and how long that takes, in milliseconds.
    fn placed(&self, how: BatchStrategy) -> (Served, f64) {
        let roster = Roster::from(self.fleet.clone());
        let requests: Vec<_> = self.tasks.iter().map(Request::of).collect();
        let begun = now_us();
        let batch = roster.place_together(&requests, &self.policy, how);
        let took_ms = (now_us() - begun) / 1e3;
        let server = |choice: &Choice| {
            let agent = &choice.candidate.agent;
            let server = self.fleet.iter().position(|one| one.id == *agent)?;
            Some((server, choice.candidate.score))
        };
        let by = batch.choices.iter().map(|choice| choice.as_ref().and_then(server)).collect();
        (self.served(by), took_ms)
    }

    /// Who covers whom, and what that scores.
    fn edges(&self) -> Vec<Vec<Edge>> {
        let edges = |spec: &TaskSpec| {
            let request = Request::of(spec);
            let covers = self
                .fleet
                .iter()
                .enumerate()
                .filter(|(_, one)| is_feasible(one, &request, &self.policy));
            covers
                .map(|(server, agent)| {
                    let score = candidate(agent, &request, &self.policy).score;
                    Edge { server, score }
                })
                .collect()
        };
        self.tasks.iter().map(edges).collect()
    }

    /// The most that can be placed, then the greatest sum of scores: of all users, or of those who
    /// are `listed`.
    fn best(&self, listed: impl Fn(usize) -> bool) -> Served {
        let mut edges = self.edges();
        let left_out = edges.iter_mut().enumerate().filter(|(user, _)| !listed(*user));
        left_out.for_each(|(_, edges)| edges.clear());
        let serves: Vec<u32> = self.fleet.iter().map(|agent| agent.facts.tasks_max).collect();
        let by = optimum(&edges, &serves);
        let scored = |(user, server): (usize, &Option<usize>)| {
            let server = (*server)?;
            let edge = edges[user].iter().find(|edge| edge.server == server)?;
            Some((server, edge.score))
        };
        self.served(by.iter().enumerate().map(scored).collect())
    }

    fn served(&self, by: Vec<Option<(usize, f64)>>) -> Served {
        let placed = by.iter().flatten().count();
        let servers = by.iter().flatten().map(|(server, _)| server).collect::<BTreeSet<_>>().len();
        let score = by.iter().flatten().map(|(_, score)| score).sum();
        // score = 1 ÷ (1 + d ÷ reference).
        let distance_m = |score: f64| COVERS_M * (1.0 / score - 1.0);
        let all_m: f64 = by.iter().flatten().map(|(_, score)| distance_m(*score)).sum();
        Served { by, placed, servers, distance_m: all_m / placed.max(1) as f64, score }
    }
}

/// Tells what each way comes to.
pub fn measure() -> Measured {
    let mut measured = Measured::default();
    for seed in SEEDS {
        let instance = Instance::new(seed);
        let covered = instance.edges().iter().filter(|edges| !edges.is_empty()).count();
        let serves: u32 = instance.fleet.iter().map(|agent| agent.facts.tasks_max).sum();
        measured.note(format!(
            "seed {seed}: {} users, {covered} of them covered; {} servers for {serves}",
            instance.tasks.len(),
            instance.fleet.len()
        ));
        let mut tell = |name: &str, served: &Served, took: &str| {
            measured.note(format!(
                "seed {seed}: {name}: {} placed on {} servers, {:.1} m on average, score {:.3}{took}",
                served.placed, served.servers, served.distance_m, served.score
            ));
        };
        let (greedy, took_ms) = instance.placed(BatchStrategy::Greedy);
        tell("in turn", &greedy, &format!(", {took_ms:.1} ms"));
        let (together, took_ms) = instance.placed(BatchStrategy::Auto);
        tell("together", &together, &format!(", {took_ms:.1} ms"));
        let same = instance.best(|user| together.by[user].is_some());
        tell("optimum for the same users", &same, "");
        tell("optimum", &instance.best(|_| true), "");
    }
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the users of the Melbourne CBD as many are placed as an exact solver can place, and those
    /// who are, on the servers on which they score most.
    #[test]
    fn competing_tasks_reach_the_optimum_on_the_real_edge() {
        for seed in SEEDS {
            let instance = Instance::new(seed);
            let (greedy, _) = instance.placed(BatchStrategy::Greedy);
            let (together, _) = instance.placed(BatchStrategy::Auto);
            let most = instance.best(|_| true);
            assert_eq!(together.placed, most.placed, "seed {seed}");
            assert!(greedy.placed < most.placed, "seed {seed}: nothing to gain proves nothing");
            let same = instance.best(|user| together.by[user].is_some());
            let lost = same.score - together.score;
            assert!(lost.abs() < 1e-6, "seed {seed}: {lost} below the optimum");
        }
    }
}

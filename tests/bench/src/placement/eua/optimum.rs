//! An exact solver for who serves whom: a flow of least cost, one shortest path after another, each
//! found by the Bellman-Ford algorithm. It shares nothing with what it checks.

use std::collections::VecDeque;

/// A server that may serve a user, and what that scores.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    pub server: usize,
    pub score: f64,
}

/// For each user the server; as many users as can be served, then the greatest sum of scores. In
/// whole numbers, so that nothing is lost to rounding: scores to the trillionth.
pub fn optimum(edges: &[Vec<Edge>], serves: &[u32]) -> Vec<Option<usize>> {
    let (users, servers) = (edges.len(), serves.len());
    let (source, sink) = (users + servers, users + servers + 1);
    let mut network = Network { arcs: Vec::new(), from: vec![Vec::new(); sink + 1] };
    for (user, edges) in edges.iter().enumerate() {
        network.add(source, user, 1, 0);
        for edge in edges {
            network.add(user, users + edge.server, 1, -(edge.score * 1e12).round() as i64);
        }
    }
    for (server, serves) in serves.iter().enumerate() {
        network.add(users + server, sink, i64::from(*serves), 0);
    }
    while network.push_one(source, sink) {}
    let server = |user: usize| {
        let used = network.from[user].iter().map(|arc| &network.arcs[*arc]);
        used.filter(|arc| arc.to != source && arc.room == 0).map(|arc| arc.to - users).next()
    };
    (0..users).map(server).collect()
}

/// Arcs in pairs: each with the one that takes it back.
struct Network {
    arcs: Vec<Arc>,
    from: Vec<Vec<usize>>,
}

struct Arc {
    to: usize,
    room: i64,
    cost: i64,
}

impl Network {
    fn add(&mut self, from: usize, to: usize, room: i64, cost: i64) {
        for (from, to, room, cost) in [(from, to, room, cost), (to, from, 0, -cost)] {
            self.from[from].push(self.arcs.len());
            self.arcs.push(Arc { to, room, cost });
        }
    }

    /// One more, along the cheapest path; `false` when there is none.
    fn push_one(&mut self, source: usize, sink: usize) -> bool {
        let mut cost = vec![i64::MAX; self.from.len()];
        let mut by = vec![usize::MAX; self.from.len()];
        let mut waiting = VecDeque::from([source]);
        let mut waits = vec![false; self.from.len()];
        cost[source] = 0;
        while let Some(node) = waiting.pop_front() {
            waits[node] = false;
            for &at in &self.from[node] {
                let arc = &self.arcs[at];
                let through = cost[node] + arc.cost;
                if arc.room > 0 && through < cost[arc.to] {
                    (cost[arc.to], by[arc.to]) = (through, at);
                    if !std::mem::replace(&mut waits[arc.to], true) {
                        waiting.push_back(arc.to);
                    }
                }
            }
        }
        if cost[sink] == i64::MAX {
            return false;
        }
        let mut node = sink;
        while node != source {
            let at = by[node];
            self.arcs[at].room -= 1;
            self.arcs[at ^ 1].room += 1;
            node = self.arcs[at ^ 1].to;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_comes_before_score_and_the_first_gives_way() {
        let edge = |server, score| Edge { server, score };
        let edges = [vec![edge(0, 0.9), edge(1, 0.1)], vec![edge(0, 0.8)], vec![]];
        assert_eq!(optimum(&edges, &[1, 1]), [Some(1), Some(0), None]);
        assert_eq!(optimum(&edges, &[2, 1]), [Some(0), Some(0), None]);
    }
}

//! Shortlists: for each kind of task in a batch its best agents on the fleet as it stands, as many as
//! were needed so far. Owns which tasks are of a kind, and which agents anybody has looked at.

use shared::api::Candidate;
use shared::id::AgentId;

use crate::fleet::{Agent, Number};
use crate::placement::Request;
use crate::placement::policy::Policy;
use crate::placement::roster::Roster;
use crate::placement::score::Scored;

/// The most agents on one list.
pub(super) const LISTED_MAX: usize = 1_024;
/// How long a list that grows is at first, and how much longer each time.
const LISTED_MIN: usize = 8;
const LISTED_AT_ONCE: usize = 256;
const GROWTH: usize = 4;
/// Below every score: nobody else.
pub(super) const NOBODY: f64 = -1.0;

/// An agent that somebody has looked at, in the order in which that happened.
pub(super) type Site = u32;
const NO_SITE: Site = Site::MAX;

/// Numbers are looked up by pages, so that a batch touches little of a large fleet.
const PAGE: usize = 1_024;

/// An agent on a list, with its score on the fleet as it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) site: Site,
    pub(super) score: f64,
}

/// What tasks of a kind look at.
#[derive(Debug)]
pub(super) struct Shortlist<'a> {
    pub(super) request: Request<'a>,
    /// How many tasks are of this kind.
    pub(super) tasks: usize,
    /// Best first.
    pub(super) entries: Vec<Entry>,
    /// No agent beyond the entries scores more; [`NOBODY`] when there is none. Infinite while nobody
    /// has looked.
    pub(super) floor: f64,
}

impl Shortlist<'_> {
    /// The score of the best agent on the fleet as it stands.
    pub(super) fn best(&self) -> Option<f64> {
        self.entries.first().map(|entry| entry.score)
    }
}

/// The lists of a batch.
#[derive(Debug)]
pub(super) struct Shortlists<'a> {
    roster: &'a Roster,
    pub(super) policy: &'a Policy,
    /// By kind.
    pub(super) lists: Vec<Shortlist<'a>>,
    /// The kind of each task.
    pub(super) kinds: Vec<u32>,
    /// Who was looked at.
    agents: Vec<&'a Agent>,
    pages: Vec<Option<Box<[Site; PAGE]>>>,
}

impl<'a> Shortlists<'a> {
    /// The best agent for each kind of task.
    pub(super) fn new(roster: &'a Roster, requests: &[Request<'a>], policy: &'a Policy) -> Self {
        let (kinds, lists) = kinds_of(requests);
        let (agents, pages) = (Vec::new(), Vec::new());
        let mut lists = Self { roster, policy, lists, kinds, agents, pages };
        for kind in in_order_of_place(&lists.lists) {
            lists.look_first(kind);
        }
        lists
    }

    pub(super) fn kind_of(&self, task: usize) -> usize {
        self.kinds[task] as usize
    }

    pub(super) fn request_of(&self, task: usize) -> &Request<'a> {
        &self.lists[self.kind_of(task)].request
    }

    pub(super) fn agent(&self, site: Site) -> &'a Agent {
        self.agents[site as usize]
    }

    /// The agent that was best for a task alone, if that is another than the one it goes to, and would
    /// have scored more.
    pub(super) fn own_best(&self, task: usize, goes: &Candidate) -> Option<AgentId> {
        let best = self.lists[self.kind_of(task)].entries.first()?;
        let agent = self.agent(best.site);
        (agent.id != goes.agent && best.score > goes.score).then(|| agent.id.clone())
    }

    fn look_first(&mut self, kind: usize) {
        let request = self.lists[kind].request;
        if self.lists[kind].tasks > 1 {
            self.grow(kind);
            return;
        }
        let number = self.roster.best_number(&request, self.policy);
        let Some((number, agent)) = number.and_then(|(one, _)| Some((one, self.roster.at(one)?)))
        else {
            self.lists[kind].floor = NOBODY;
            return;
        };
        let score = Scored::of(agent, &request, self.policy).score();
        let site = self.site(number, agent);
        let list = &mut self.lists[kind];
        list.entries.push(Entry { site, score });
        list.floor = score;
    }

    /// Makes a list longer; `false` when there is nobody else, or when it is as long as it may be.
    pub(super) fn grow(&mut self, kind: usize) -> bool {
        let list = &self.lists[kind];
        let listed = list.entries.len();
        if list.floor == NOBODY || listed >= LISTED_MAX {
            return false;
        }
        // Tasks that ask for the same will hardly want fewer agents than there are of them.
        let least = list.tasks.clamp(LISTED_MIN, LISTED_AT_ONCE);
        let most = (listed * GROWTH).clamp(least, LISTED_MAX);
        let found = self.roster.top(&list.request, self.policy, most);
        let floor = if found.len() < most { NOBODY } else { found[most - 1].1 };
        for (number, score) in found.iter().skip(listed) {
            let Some(agent) = self.roster.at(*number) else {
                continue;
            };
            let entry = Entry { site: self.site(*number, agent), score: *score };
            self.lists[kind].entries.push(entry);
        }
        let list = &mut self.lists[kind];
        list.floor = floor;
        list.entries.len() > listed
    }

    fn site(&mut self, number: Number, agent: &'a Agent) -> Site {
        let (page, at) = (number as usize / PAGE, number as usize % PAGE);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let sites = self.pages[page].get_or_insert_with(|| Box::new([NO_SITE; PAGE]));
        if sites[at] == NO_SITE {
            sites[at] = self.agents.len() as Site;
            self.agents.push(agent);
        }
        sites[at]
    }
}

/// The kind of each task, numbered as they come, and an empty list for each. The core keeps one spec
/// for all tasks that ask for the same, so that they are told by where it is.
fn kinds_of<'a>(requests: &[Request<'a>]) -> (Vec<u32>, Vec<Shortlist<'a>>) {
    let same = |one: usize| (std::ptr::from_ref(requests[one].spec), requests[one].avoid);
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by(|&a, &b| same(a).cmp(&same(b)).then(a.cmp(&b)));
    // The first of each kind stands for it.
    let mut first = vec![0; requests.len()];
    for run in order.chunk_by(|&a, &b| same(a) == same(b)) {
        run.iter().for_each(|&task| first[task] = run[0]);
    }
    let mut kinds: Vec<u32> = Vec::with_capacity(requests.len());
    let mut lists: Vec<Shortlist<'a>> = Vec::new();
    for (task, &first) in first.iter().enumerate() {
        let kind = if first == task { lists.len() as u32 } else { kinds[first] };
        if first == task {
            let request = requests[task];
            lists.push(Shortlist { request, tasks: 0, entries: Vec::new(), floor: f64::INFINITY });
        }
        lists[kind as usize].tasks += 1;
        kinds.push(kind);
    }
    (kinds, lists)
}

/// Kinds by where they want to be, along a curve that leaves no neighbourhood before it is done
/// (Morton, 1966): what one search has read, the next one finds in the cache. Only time depends on it.
fn in_order_of_place(lists: &[Shortlist<'_>]) -> Vec<usize> {
    let along = |list: &Shortlist<'_>| {
        let near = list.request.spec.place.near?.position;
        let cell = |degrees: f64, span: f64| (degrees / span * 65_535.0) as u64;
        let latitude = cell(near.latitude() + 90.0, 180.0);
        Some(spaced(cell(near.longitude() + 180.0, 360.0)) | spaced(latitude) << 1)
    };
    let mut order: Vec<_> = lists.iter().map(along).zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, kind)| kind).collect()
}

/// The lower sixteen bits, each followed by a zero.
fn spaced(bits: u64) -> u64 {
    (0..16).fold(0, |all, at| all | (bits >> at & 1) << (2 * at))
}

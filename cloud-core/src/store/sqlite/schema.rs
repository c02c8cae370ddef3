//! The tables, one migration after the other. A migration that was released never changes.
//!
//! A task's row is numbered by the front of its id (see `number`), so that rows come in the order of
//! ids, new ones go to the end of every table, and an index holds a number where it would hold an id.
//! Times are milliseconds. Unsigned counters that a peer chooses are stored by their bits (see
//! `rows`), so that none of them can overflow a column. What is only ever read back whole is JSON;
//! what is searched by has a column.

/// What brings the database from each version to the next.
pub(super) const MIGRATIONS: [&str; 7] =
    [VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7];

/// Schedules, and what became of their moments. How far a schedule's moments were dealt with is apart
/// from what it is, because it changes with each of them; what a schedule makes is apart from when,
/// because many make the same and a core that starts reads each text once. `agent` is empty where the
/// core fired. `origin` is what made a task, JSON, and `schedule` is from it, to search by.
const VERSION_7: &str = "
CREATE TABLE schedules (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    spec TEXT NOT NULL,
    task TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    paused BIGINT NOT NULL
) WITHOUT ROWID;
CREATE TABLE schedule_marks (
    schedule BLOB PRIMARY KEY,
    through BIGINT NOT NULL
) WITHOUT ROWID;
CREATE TABLE firings (
    schedule BLOB NOT NULL,
    at BIGINT NOT NULL,
    agent TEXT NOT NULL,
    version BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    queued BIGINT NOT NULL,
    result TEXT NOT NULL,
    PRIMARY KEY (schedule, at, agent)
) WITHOUT ROWID;
CREATE INDEX firings_queued ON firings (queued) WHERE queued = 1;
CREATE INDEX firings_by_time ON firings (recorded_at);
-- What the latest versions of a resident schedule make: agents that were away tell of them.
CREATE TABLE schedule_versions (
    schedule BLOB NOT NULL,
    version BIGINT NOT NULL,
    task TEXT NOT NULL,
    PRIMARY KEY (schedule, version)
) WITHOUT ROWID;
-- What each agent is to make of resident schedules. The row is JSON.
CREATE TABLE residents (
    agent TEXT NOT NULL,
    schedule BLOB NOT NULL,
    row TEXT NOT NULL,
    PRIMARY KEY (agent, schedule)
) WITHOUT ROWID;
ALTER TABLE tasks ADD COLUMN schedule BLOB;
ALTER TABLE tasks ADD COLUMN origin TEXT;
CREATE INDEX tasks_by_schedule ON tasks (schedule) WHERE schedule IS NOT NULL;
";

/// The trace that a task came with. Null for those that came without, which are in one of their
/// own that follows from their id, unless that is not sampled.
const VERSION_6: &str = "
ALTER TABLE tasks ADD COLUMN trace TEXT;
";

/// Rows numbered by the front of their ids. Two ids of an older store may have the same front, if its
/// clock was once set back between two starts: the later one of them has a number below zero.
/// Idempotency keys have a table of their own, because they outlive their tasks. What of an agent
/// changes with every message is apart from what it is.
const VERSION_5: &str = "
CREATE TABLE numbers (
    task TEXT PRIMARY KEY,
    number BIGINT NOT NULL UNIQUE,
    id BLOB NOT NULL
) WITHOUT ROWID;
INSERT INTO numbers (task, number, id)
SELECT id,
    CASE WHEN turn = 1 THEN front
        ELSE -row_number() OVER (PARTITION BY turn = 1 ORDER BY id DESC) END,
    unhex(replace(id, '-', ''))
FROM (
    SELECT id, front, row_number() OVER (PARTITION BY front ORDER BY id) AS turn
    FROM (
        SELECT id, json_extract('0x' || substr(id, 1, 8) || substr(id, 10, 4)
            || substr(id, 15, 4), '$') AS front
        FROM tasks
    )
);

DROP TRIGGER tasks_settled_once;
DROP INDEX tasks_live;
DROP INDEX tasks_by_key;
DROP INDEX tasks_by_status;
DROP INDEX tasks_by_agent;
DROP INDEX tasks_by_name;
DROP INDEX task_labels_by_key;
DROP INDEX assignments_live;
DROP INDEX log_rows_by_start;
ALTER TABLE specs RENAME TO old_specs;
ALTER TABLE assignments RENAME TO old_assignments;
ALTER TABLE log_streams RENAME TO old_log_streams;
ALTER TABLE log_rows RENAME TO old_log_rows;
ALTER TABLE wanted RENAME TO old_wanted;
ALTER TABLE late_reports RENAME TO old_late_reports;
ALTER TABLE tasks RENAME TO old_tasks;

-- Numbered in the order in which they were taken. `pruned` once their task is.
CREATE TABLE idempotency_keys (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    body_hash TEXT NOT NULL,
    task BLOB NOT NULL,
    taken_at BIGINT NOT NULL,
    pruned BIGINT NOT NULL DEFAULT 0
);
INSERT INTO idempotency_keys (key, body_hash, task, taken_at)
SELECT t.idempotency_key, t.body_hash, n.id, t.submitted_at
FROM old_tasks t JOIN numbers n ON n.task = t.id
WHERE t.idempotency_key IS NOT NULL ORDER BY t.id;
CREATE INDEX idempotency_keys_pruned ON idempotency_keys (pruned) WHERE pruned = 1;

-- What changes of a task, and what lists show. `state` is JSON; `status` and `reason` follow from
-- it and are columns to search by. `settled_at` is null until the task is settled.
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL,
    name TEXT,
    labels TEXT NOT NULL,
    priority BIGINT NOT NULL,
    idempotency_key BIGINT,
    submitted_at BIGINT NOT NULL,
    deadline_at BIGINT,
    status TEXT NOT NULL,
    reason TEXT,
    state TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    agent TEXT,
    failures BIGINT NOT NULL,
    losses BIGINT NOT NULL,
    refusals BIGINT NOT NULL,
    settled_at BIGINT,
    forgotten TEXT
);
INSERT INTO tasks
SELECT n.number, n.id, t.name, t.labels, t.priority, k.number, t.submitted_at, t.deadline_at,
    t.status, t.reason, t.state, t.updated_at, t.attempt, t.agent, t.failures, t.losses,
    t.refusals, t.settled_at, t.forgotten
FROM old_tasks t JOIN numbers n ON n.task = t.id
LEFT JOIN idempotency_keys k ON k.key = t.idempotency_key
ORDER BY n.number;
-- Each of these indexes ends in the number, and so has the order of every list.
CREATE INDEX tasks_by_status ON tasks (status);
CREATE INDEX tasks_by_agent ON tasks (agent) WHERE agent IS NOT NULL;
CREATE INDEX tasks_by_name ON tasks (name) WHERE name IS NOT NULL;

-- An outcome is written once.
CREATE TRIGGER tasks_settled_once BEFORE UPDATE ON tasks WHEN OLD.settled_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a settled task never changes');
END;

-- Apart from the task, because it is large and never changes.
CREATE TABLE specs (
    task INTEGER PRIMARY KEY,
    spec TEXT NOT NULL
);
INSERT INTO specs
SELECT n.number, s.spec FROM old_specs s JOIN numbers n ON n.task = s.task ORDER BY n.number;

-- What a label is found by: its key, and its key and value with `=` between them.
CREATE TABLE task_terms (
    term TEXT NOT NULL,
    task BIGINT NOT NULL,
    PRIMARY KEY (term, task)
) WITHOUT ROWID;
INSERT INTO task_terms
SELECT l.key, n.number FROM task_labels l JOIN numbers n ON n.task = l.task
UNION ALL
SELECT l.key || '=' || l.value, n.number FROM task_labels l JOIN numbers n ON n.task = l.task
ORDER BY 1, 2;

CREATE TABLE assignments (
    task BIGINT NOT NULL REFERENCES tasks (number),
    attempt BIGINT NOT NULL,
    agent TEXT NOT NULL,
    placed TEXT NOT NULL,
    offered_at BIGINT NOT NULL,
    accepted_at BIGINT,
    started_at BIGINT,
    state TEXT NOT NULL,
    progress TEXT,
    retries BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    PRIMARY KEY (task, attempt)
);
INSERT INTO assignments
SELECT n.number, a.attempt, a.agent, a.placed, a.offered_at, a.accepted_at, a.started_at,
    a.state, a.progress, a.retries, a.ended
FROM old_assignments a JOIN numbers n ON n.task = a.task ORDER BY n.number, a.attempt;

CREATE TABLE log_streams (
    task BIGINT NOT NULL REFERENCES tasks (number),
    attempt BIGINT NOT NULL,
    upto BIGINT NOT NULL,
    complete BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    PRIMARY KEY (task, attempt)
) WITHOUT ROWID;
INSERT INTO log_streams
SELECT n.number, s.attempt, s.upto, s.complete, s.cost, s.taken_at
FROM old_log_streams s JOIN numbers n ON n.task = s.task ORDER BY n.number, s.attempt;
CREATE TABLE log_rows (
    id INTEGER PRIMARY KEY,
    task BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    starts BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    pieces TEXT NOT NULL
);
INSERT INTO log_rows
SELECT r.id, n.number, r.attempt, r.starts, r.ends, r.cost, r.taken_at, r.pieces
FROM old_log_rows r JOIN numbers n ON n.task = r.task ORDER BY r.id;
CREATE UNIQUE INDEX log_rows_by_start ON log_rows (task, attempt, starts);

-- Each agent's desired state. By whole ids: a row may be about a task that is not here.
CREATE TABLE wanted (
    task BLOB NOT NULL,
    attempt BIGINT NOT NULL,
    agent TEXT NOT NULL,
    rev BIGINT NOT NULL,
    wanted TEXT NOT NULL,
    PRIMARY KEY (task, attempt, agent)
) WITHOUT ROWID;
INSERT INTO wanted
SELECT unhex(replace(task, '-', '')), attempt, agent, rev, wanted FROM old_wanted;

-- What stale attempts told. By whole ids, for the same reason.
CREATE TABLE late_reports (
    row INTEGER PRIMARY KEY,
    task BLOB NOT NULL,
    number BIGINT NOT NULL,
    agent TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    event TEXT NOT NULL,
    UNIQUE (task, number)
);
INSERT INTO late_reports (task, number, agent, attempt, received_at, event)
SELECT unhex(replace(task, '-', '')), number, agent, attempt, received_at, event
FROM old_late_reports ORDER BY received_at, task, number;

-- Reports taken and revisions given, of each agent.
CREATE TABLE agent_marks (
    agent TEXT PRIMARY KEY REFERENCES agents (id),
    incarnation TEXT NOT NULL,
    acked_seq BIGINT NOT NULL,
    desired_rev BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO agent_marks SELECT id, incarnation, acked_seq, desired_rev FROM agents ORDER BY id;
ALTER TABLE agents DROP COLUMN incarnation;
ALTER TABLE agents DROP COLUMN acked_seq;
ALTER TABLE agents DROP COLUMN desired_rev;

DROP TABLE task_labels;
DROP TABLE old_specs;
DROP TABLE old_assignments;
DROP TABLE old_log_streams;
DROP TABLE old_log_rows;
DROP TABLE old_wanted;
DROP TABLE old_late_reports;
DROP TABLE old_tasks;
DROP TABLE numbers;
";

/// The log of events. A row is a block of consecutive numbers, told by one transaction.
const VERSION_4: &str = "
CREATE TABLE events (
    first INTEGER PRIMARY KEY,
    last BIGINT NOT NULL,
    at BIGINT NOT NULL,
    events TEXT NOT NULL
);
";

/// Logs. What was taken of an attempt outlives the rows that are kept of it: an agent that was away
/// for longer than logs are kept goes on where it was. Rows are numbered in the order in which they
/// came; what lies between two rows of an attempt is missing.
const VERSION_3: &str = "
CREATE TABLE log_streams (
    task TEXT NOT NULL REFERENCES tasks (id),
    attempt BIGINT NOT NULL,
    upto BIGINT NOT NULL,
    complete BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    PRIMARY KEY (task, attempt)
);
CREATE TABLE log_rows (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    starts BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    taken_at BIGINT NOT NULL,
    pieces TEXT NOT NULL
);
CREATE UNIQUE INDEX log_rows_by_start ON log_rows (task, attempt, starts);
";

/// Attempts that come back, and what is known of how far they are. `ended` follows from `state`.
const VERSION_2: &str = "
ALTER TABLE tasks ADD COLUMN forgotten TEXT;
ALTER TABLE assignments ADD COLUMN progress TEXT;
ALTER TABLE assignments ADD COLUMN retries BIGINT NOT NULL DEFAULT 0;
ALTER TABLE assignments ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
UPDATE assignments SET ended = 1 WHERE json_extract(state, '$.state') = 'ended';
CREATE INDEX assignments_live ON assignments (task, attempt) WHERE ended = 0;
ALTER TABLE agents ADD COLUMN session BIGINT NOT NULL DEFAULT 0;
ALTER TABLE agents ADD COLUMN former TEXT NOT NULL DEFAULT '[]';
ALTER TABLE agents ADD COLUMN withheld BIGINT NOT NULL DEFAULT 0;
";

const VERSION_1: &str = "
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- What changes of a task, and what lists show. `state` is JSON; `status` and `reason` follow from
-- it and are columns to search by. `settled_at` is null until the task is settled.
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    name TEXT,
    labels TEXT NOT NULL,
    priority BIGINT NOT NULL,
    idempotency_key TEXT,
    body_hash TEXT,
    submitted_at BIGINT NOT NULL,
    deadline_at BIGINT,
    status TEXT NOT NULL,
    reason TEXT,
    state TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    agent TEXT,
    failures BIGINT NOT NULL,
    losses BIGINT NOT NULL,
    refusals BIGINT NOT NULL,
    settled_at BIGINT
);
CREATE INDEX tasks_live ON tasks (id) WHERE settled_at IS NULL;
CREATE UNIQUE INDEX tasks_by_key ON tasks (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX tasks_by_status ON tasks (status, id);
CREATE INDEX tasks_by_agent ON tasks (agent, id) WHERE agent IS NOT NULL;
CREATE INDEX tasks_by_name ON tasks (name, id) WHERE name IS NOT NULL;

-- An outcome is written once.
CREATE TRIGGER tasks_settled_once BEFORE UPDATE ON tasks WHEN OLD.settled_at IS NOT NULL
BEGIN
    SELECT RAISE(ABORT, 'a settled task never changes');
END;

-- Apart from the task, because it is large and never changes.
CREATE TABLE specs (
    task TEXT PRIMARY KEY REFERENCES tasks (id),
    spec TEXT NOT NULL
);

CREATE TABLE task_labels (
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    task TEXT NOT NULL REFERENCES tasks (id),
    PRIMARY KEY (key, value, task)
) WITHOUT ROWID;
CREATE INDEX task_labels_by_key ON task_labels (key, task);

CREATE TABLE assignments (
    task TEXT NOT NULL REFERENCES tasks (id),
    attempt BIGINT NOT NULL,
    agent TEXT NOT NULL,
    placed TEXT NOT NULL,
    offered_at BIGINT NOT NULL,
    accepted_at BIGINT,
    started_at BIGINT,
    state TEXT NOT NULL,
    PRIMARY KEY (task, attempt)
);

CREATE TABLE agents (
    id TEXT PRIMARY KEY,
    joined_at BIGINT NOT NULL,
    facts TEXT NOT NULL,
    flags TEXT NOT NULL,
    boot BIGINT NOT NULL,
    link BIGINT NOT NULL,
    incarnation TEXT NOT NULL,
    acked_seq BIGINT NOT NULL,
    desired_rev BIGINT NOT NULL,
    last_seen BIGINT
);

-- Hashes only. An agent has its credential before its first hello makes its row.
CREATE TABLE credentials (
    agent TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    seal_key TEXT NOT NULL
);

-- Each agent's desired state.
CREATE TABLE wanted (
    agent TEXT NOT NULL REFERENCES agents (id),
    task TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    rev BIGINT NOT NULL,
    wanted TEXT NOT NULL,
    PRIMARY KEY (agent, task, attempt)
);

-- What stale attempts told. No reference to the task: a core that was put back to an older copy
-- hears of tasks that it forgot.
CREATE TABLE late_reports (
    task TEXT NOT NULL,
    number BIGINT NOT NULL,
    agent TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (task, number)
);
";

//! The tables, one migration after the other. A migration that was released never changes.
//!
//! Where it costs nothing the SQL is what PostgreSQL takes, too: ids as text, times as
//! milliseconds, partial indexes. Unsigned counters that a peer chooses are stored by their bits
//! (see `rows`), so that none of them can overflow a column. What is only ever read back whole is
//! JSON; what is searched by has a column.

/// What brings the database from each version to the next.
pub(super) const MIGRATIONS: [&str; 4] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];

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

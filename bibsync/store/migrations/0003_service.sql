-- What the service does by itself, what people ask it to do, and what it tells them.

-- Paused until that time, without one until a person resumes it.
alter table collections add column paused_at timestamptz;
alter table collections add column paused_until timestamptz;
alter table collections add column pause_reason text;
alter table collections add column paused_by text;

-- Runs, versions and settled rejects from before then may have been cleaned up. Without it: none were.
alter table collections add column kept_since timestamptz;

-- When a reject was resolved or dismissed; unknown of those that were so before there was this column.
alter table rejects add column settled_at timestamptz;

-- When a job is due. `configured` is what the file or bibsync itself says of it, null where neither
-- does any more. Slots up to `counted_from`, and up to `last_slot`, are past. `version` counts edits.
create table schedules (
    schedule text primary key,
    job text not null,
    cron text,
    once_at timestamptz,
    timezone text not null,
    enabled boolean not null,
    expires interval,
    jitter interval not null,
    catch_up boolean not null,
    retries integer not null,
    retry_delay interval not null,
    keep_results interval not null,
    collections text[] not null,
    configured json,
    edited_at timestamptz,
    edited_by text,
    version bigint not null default 1,
    counted_from timestamptz not null,
    last_slot timestamptz
);

-- A schedule's slot, which comes once, however many replicas there are.
create table firings (
    firing bigint generated always as identity primary key,
    schedule text not null,
    job text not null,
    slot timestamptz not null,
    trigger text not null,
    fired_by text not null,
    fired_at timestamptz not null,
    outcome text,
    finished timestamptz,
    unique (schedule, slot)
);
create index on firings (firing) where finished is null;
create index on firings (schedule, firing desc);

drop table run_requests;

-- What is to be done: a run of a collection, or a job that is about all of them. Numbered with the
-- runs, so that a number means one thing. The replica that does it prolongs `held_until`; `claims`
-- counts how often it was begun, `attempts` how often that came to an end.
create table requests (
    request bigint primary key default nextval(pg_get_serial_sequence('runs', 'run')),
    collection integer references collections on delete cascade,
    job text not null,
    firing bigint references firings on delete set null,
    trigger text not null,
    requested_by text not null,
    requested_at timestamptz not null,
    since timestamptz,
    until timestamptz,
    force_reimport boolean not null default false,
    lane text not null default 'reimport',
    priority integer not null,
    state text not null default 'waiting'
        check (state in ('waiting', 'running', 'done', 'cancelled', 'dropped')),
    due_at timestamptz not null,
    expires_at timestamptz,
    retries integer not null default 0,
    retry_delay interval not null default '5 minutes',
    keep_results interval not null default '7 days',
    attempts integer not null default 0,
    claims integer not null default 0,
    holder text,
    replica text,
    held_until timestamptz,
    cancel_asked boolean not null default false,
    started timestamptz,
    finished timestamptz,
    run bigint,
    outcome text,
    problem json,
    result json
);
create index on requests (priority, due_at) where state = 'waiting';
create index on requests (collection) where state = 'running';
create index on requests (finished) where finished is not null;
create index on requests (firing);
-- Of what is wanted anyway one that waits is enough.
create unique index requests_waiting on requests (coalesce(collection, 0), job)
    where state = 'waiting' and since is null and until is null and not force_reimport;

alter table runs add column request bigint;

-- An answer that is given again to whoever sends the same key.
create table idempotency_keys (
    key text primary key,
    digest bytea not null,
    status integer not null,
    location text,
    body json not null,
    kept_since timestamptz not null
);

-- What a day came to, in UTC. Null: what says so had been cleaned up when the day was taken.
create table snapshots (
    collection integer not null references collections on delete cascade,
    day date not null,
    records bigint not null,
    withdrawn bigint not null,
    new bigint not null,
    changed bigint,
    rejects bigint,
    requests bigint,
    runs bigint,
    failed_runs bigint,
    taken_at timestamptz not null,
    primary key (collection, day)
);

-- The newest statistics alone: they are made anew each time.
create table statistics (
    only_one boolean primary key default true check (only_one),
    made_at timestamptz not null,
    document json not null
);

-- What somebody was or is to be told of, once when it begins and once when it is over. `subject` is a
-- collection's name, or empty where it is about the whole.
create table notices (
    notice bigint generated always as identity primary key,
    kind text not null,
    subject text not null,
    began timestamptz not null,
    ended timestamptz,
    message json not null,
    told text[] not null default '{}',
    ended_told text[] not null default '{}'
);
create unique index notices_open on notices (kind, subject) where ended is null;

-- The processes that serve, as they last said of themselves.
create table replicas (
    replica text primary key,
    version text not null,
    started timestamptz not null,
    seen timestamptz not null,
    configured_at timestamptz not null,
    config_problem json,
    redis_lost boolean not null,
    loop_lag_s double precision not null
);

-- The job row is the truth; the queue only delivers its id. Statuses, phases and numbers are those of `job.py`.

create table job (
    id               uuid primary key,
    tenant_id        uuid not null,
    user_id          uuid not null,
    idempotency_key  text,

    prompt           text not null check (char_length(prompt) between 1 and 500),
    prompt_truncated boolean,
    seed             bigint not null check (seed >= 0),
    seeds            bigint[] not null check (cardinality(seeds) = 4),

    status           text not null default 'queued' check (status in ('queued', 'processing', 'complete', 'failed')),
    phase            text not null default 'waiting' check (phase in ('waiting', 'encoding', 'drawing', 'saving')),
    step             integer not null default 0,
    steps            integer not null default 0 check (step between 0 and steps),
    percent          smallint not null default 0 check (percent between 0 and 100),

    attempt          smallint not null default 0,  -- the fencing token: every change by a worker names it
    tries            smallint not null default 0,  -- attempts that counted; one given back does not
    result_attempt   smallint,                     -- the attempt whose images were published
    worker_id        text,
    lease_until      timestamptz,                  -- the heartbeat: each progress write moves it
    error_code       text,

    pack_id          text,
    pack_name        text,
    pack_version     text,

    created_at       timestamptz not null default now(),
    queued_at        timestamptz not null default now(),  -- of the latest delivery
    started_at       timestamptz,                         -- of the latest attempt
    completed_at     timestamptz,
    expires_at       timestamptz,

    constraint processing_has_a_lease check (status <> 'processing' or (lease_until is not null and worker_id is not null)),
    constraint complete_has_a_result  check ((status = 'complete') = (result_attempt is not null)),
    constraint full_only_when_complete check ((status = 'complete') = (percent = 100)),
    constraint failed_has_a_reason    check ((status = 'failed') = (error_code is not null)),
    constraint ended_expires          check ((status in ('complete', 'failed')) = (completed_at is not null and expires_at is not null)),
    constraint pack_is_whole          check (num_nulls(pack_id, pack_name, pack_version) in (0, 3))
);

create unique index job_idempotency on job (tenant_id, user_id, idempotency_key) where idempotency_key is not null;
create index job_waiting on job (created_at, id) where status = 'queued';
create index job_leases on job (lease_until) where status = 'processing';
create index job_unfinished_of_user on job (tenant_id, user_id) where status in ('queued', 'processing');
create index job_finished on job (completed_at) where status = 'complete';

create table image (
    job_id uuid not null references job on delete cascade,
    n      smallint not null check (n between 1 and 4),
    sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
    size   integer not null check (size > 0),  -- bytes
    primary key (job_id, n)
);

-- Who draws at the moment. Only for showing: no decision about a job rests on it.
create table worker (
    id           text primary key,
    state        text not null check (state in ('loading', 'ready')),
    pack_id      text not null,
    pack_name    text not null,
    pack_version text not null,
    reviewed     boolean not null default false,
    started_at   timestamptz not null default now(),
    seen_at      timestamptz not null default now()
);

create view live_worker as
    select * from worker where seen_at > now() - interval '30 seconds';

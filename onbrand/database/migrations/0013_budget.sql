-- What GPU replicas cost, and what they are wanted for. Nothing is written here unless a budget is set.

-- One row for each life of a replica.
create table gpu_life (
    id              bigint generated always as identity primary key,
    worker_id       text unique,           -- null as long as it is only wanted: no worker has come yet
    wanted_at       timestamptz not null,  -- billed from here
    came_at         timestamptz,           -- the worker's first sign
    ready_at        timestamptz,           -- its model was loaded
    seen_at         timestamptz not null,  -- the latest sign of the worker, or that it is still wanted
    ended_at        timestamptz,           -- billed until here
    is_failed_start boolean not null default false,  -- it ended before its model was loaded, and was wanted
    usd_per_second  float8 not null check (usd_per_second > 0)  -- the price when it began
);
create unique index gpu_life_wanted on gpu_life ((true)) where worker_id is null and ended_at is null;
create index gpu_life_ended_at on gpu_life (ended_at);

create table gpu_demand (
    is_only_row  boolean primary key default true check (is_only_row),
    warm_until   timestamptz not null default 'epoch',  -- somebody is about to generate, or has just done so
    closed_until timestamptz not null default 'epoch',  -- starts failed one after the other
    warned_month date                                       -- of the latest warning that most of the budget is spent
);
insert into gpu_demand default values;

-- How many GPU replicas are wanted: KEDA reads this, as a role that may read nothing else (docs/budget.md). Running
-- jobs count, so that no replica is taken away while it draws, and so that a job whose worker died brings another one.
create view keda_gpu_demand as
    select (select count(*) from job where status = 'processing')
         + case when closed_until > now() then 0
           else (select count(*) from job where status = 'queued') + (warm_until > now())::int end as n
    from gpu_demand;

-- Fair turns, deadlines, and deletion when the retention time is over.

alter table job add column first_started_at timestamptz;  -- of the first attempt: the deadline counts from here
alter table job add column expiring_at timestamptz;       -- deletion has begun; the job is never shown again
update job set first_started_at = started_at;

create index job_served on job (tenant_id, user_id, started_at);        -- whose turn was when
create index job_submitted on job (tenant_id, user_id, created_at);     -- how many in the last minute
create index job_expires on job (expires_at) where expiring_at is null; -- what is due
create index job_failed on job (completed_at) where status = 'failed';   -- how many, and why lately
create index job_expiring on job (expiring_at) where expiring_at is not null;

-- What became of a deleted job's id: enough for its owner to be told "deleted" instead of "never existed".
create table expired_job (
    id         uuid primary key,
    tenant_id  uuid not null,
    user_id    uuid not null,
    expired_at timestamptz not null
);
create index expired_job_expired on expired_job (expired_at);

-- What is left of deleted jobs for statistics.
create table day_count (
    day      date primary key,  -- on which they ended, UTC
    complete integer not null default 0,
    failed   integer not null default 0
);

alter table image add column missing_since timestamptz;  -- the store no longer has it
create index image_missing on image (missing_since) where missing_since is not null;

create table upkeep (
    singleton            boolean primary key default true check (singleton),
    swept_at             timestamptz,  -- the latest sweep for lapsed leases
    expired_at           timestamptz,  -- the latest deletion of what is due
    collected_at         timestamptz,  -- the latest comparison of rows and stored images
    retention_held_since timestamptz,  -- a deletion so large that it waits
    collection_held_since timestamptz  -- so many images without a job that none is deleted
);
insert into upkeep default values;

-- Every waiting job with its place: people take turns, whoever was served longest ago first, and each person's jobs
-- go in the order in which they came. What was begun and interrupted goes first: its deadline is running. `attempts.claim` takes the first place; what people are shown is the same.
create view waiting_job as
    with served as materialized (  -- one look for each person, not for each job
        select tenant_id, user_id,
               (select max(started_at) from job
                where job.tenant_id = person.tenant_id and job.user_id = person.user_id) as served_at
        from (select distinct tenant_id, user_id from job where status = 'queued') as person
    ),
    turns as (
        select job.id, job.created_at, job.first_started_at, served.served_at,
               row_number() over person as turn,
               min(job.created_at) over person as first_created_at
        from job join served using (tenant_id, user_id)
        where job.status = 'queued'
        window person as (partition by tenant_id, user_id order by job.created_at, job.id)
    )
    select id, row_number() over (order by first_started_at is null, case when first_started_at is null then turn end,
                                  served_at nulls first, first_created_at, created_at, id) as place
    from turns;

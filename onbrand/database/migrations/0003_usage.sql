-- Whether Onbrand is used and found useful. Only `usage.py` reads it; no prompt is in it, but whose runs they were is.

alter table job add column is_more boolean not null default false;   -- more pictures of a prompt already drawn
alter table job add column is_saved boolean not null default false;  -- its owner saved at least one picture

create index job_drawn_prompt on job (tenant_id, user_id, hashtextextended(prompt, 0)) where status = 'complete';

-- Who signed in on a day (UTC).
create table sign_in_day (
    day       date not null,
    tenant_id uuid not null,
    user_id   uuid not null,
    primary key (day, tenant_id, user_id)
);

-- What is left of a deleted job for counting.
create table past_run (
    id           uuid primary key,
    tenant_id    uuid not null,
    user_id      uuid not null,
    status       text not null check (status in ('complete', 'failed')),
    error_code   text,
    created_at   timestamptz not null,
    completed_at timestamptz not null,
    is_more      boolean not null,
    is_saved     boolean not null
);
create index past_run_created on past_run (created_at);

-- Every job, deleted or not. 'cancelled' stands beside 'failed': nothing went wrong.
create view run as
    select id, tenant_id, user_id, created_at, is_more, is_saved,
           case error_code when 'cancelled' then error_code else status end as outcome,
           case status when 'complete' then greatest(0, extract(epoch from completed_at - created_at)::float8) end as seconds
    from (
        select id, tenant_id, user_id, status, error_code, created_at, completed_at, is_more, is_saved from job
        union all
        select id, tenant_id, user_id, status, error_code, created_at, completed_at, is_more, is_saved from past_run
    ) as either;

-- "Was this useful?", as it was asked about one run.
create table question (
    job_id      uuid primary key,  -- the job may be deleted by now
    tenant_id   uuid not null,
    user_id     uuid not null,
    asked_at    timestamptz not null default now(),
    answered_at timestamptz,  -- or closed
    useful      boolean,      -- false: not yet; null: closed without an answer
    comment     text check (char_length(comment) between 1 and 200),
    constraint only_an_answer_says_something check (answered_at is not null or (useful is null and comment is null))
);
create index question_of_user on question (tenant_id, user_id, asked_at);

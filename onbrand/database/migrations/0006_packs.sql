-- Brand packs: which there are, which one is live, who approved it, and who changed what. Their files are on the shelf
-- (`shelf.py`); here is what may change. Statements are in `promotion.py`.

create table brand_pack (
    id         text primary key check (id ~ '^[0-9a-f]{64}$'),  -- the hash of its manifest
    name       text not null,
    version    text not null,
    base_model text not null,
    base       text not null,
    added_at   timestamptz not null default now()
);

-- Without a row for 'production' the pack that came with the model is live.
create table pack_alias (
    name     text primary key check (name in ('production', 'previous', 'candidate')),
    pack_id  text not null references brand_pack,
    moved_at timestamptz not null default now()
);

-- A designer's verdict about exactly this pack; the latest one counts.
create table sign_off (
    id        bigint generated always as identity primary key,
    pack_id   text not null references brand_pack,
    verdict   text not null check (verdict in ('approved', 'rejected')),
    reviewer  text not null,
    signed_at timestamptz not null default now(),
    document  jsonb not null,
    digest    text not null unique check (digest ~ '^[0-9a-f]{64}$')  -- SHA-256 of the file that was imported
);
create index sign_off_latest on sign_off (pack_id, id);

create table pack_event (
    id           bigint generated always as identity primary key,
    at           timestamptz not null default now(),
    action       text not null check (action in ('add', 'promote', 'rollback')),
    alias        text,             -- that was moved
    pack_id      text not null references brand_pack,
    from_pack_id text references brand_pack,
    by_user      text not null,    -- the operating system's user who gave the command
    reason       text              -- for doing without a sign-off
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is only ever added to', tg_table_name;
end $$;

create trigger sign_off_is_kept before update or delete or truncate on sign_off
    for each statement execute function refuse_change();
create trigger pack_event_is_kept before update or delete or truncate on pack_event
    for each statement execute function refuse_change();

-- `worker.reviewed` is read no more: it comes from `sign_off`. It goes once no version that writes it can be running.

create index job_finished_with_pack on job (pack_id, completed_at) where status = 'complete';  -- how long it takes

-- What waiting people are shown: the pictures as they are now, and how long it usually takes.

-- Of running attempts only. Unlogged: it would be most of the write-ahead log, and after a crash every attempt begins
-- anew anyway.
create unlogged table preview (
    job_id   uuid primary key references job on delete cascade,
    attempt  smallint not null,
    pictures bytea[] not null check (cardinality(pictures) = 4)  -- JPEG files
);
alter table preview alter column pictures set storage external;  -- a JPEG does not get smaller

create function forget_preview() returns trigger language plpgsql as $$
begin
    delete from preview where job_id = new.id;
    return null;
end $$;

-- However an attempt ends, its previews go with it.
create trigger attempt_ended after update of status on job for each row
    when (old.status = 'processing' and new.status <> 'processing') execute function forget_preview();

alter table job add column drawn_at timestamptz;        -- when the latest attempt's last step was done
alter table job add column forecast_seconds integer;    -- until complete, as it was told when the job was submitted

alter table worker add column state_since timestamptz not null default now();
create or replace view live_worker as
    select * from worker where seen_at > now() - interval '30 seconds';

-- How long loading the model took, the latest few times.
create table model_load (
    id      bigint generated always as identity primary key,
    seconds float8 not null check (seconds >= 0)
);

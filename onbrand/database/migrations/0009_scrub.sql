-- Every stored picture is read again and again, and compared with its checksum (`jobs/scrub.py`).

alter table image add column checked_at timestamptz not null default now();  -- last read; at first: published, or this step
alter table image add column damaged_since timestamptz;                      -- its bytes are no longer those of `sha256`
create index image_damaged on image (damaged_since) where damaged_since is not null;

alter table upkeep add column scrubbed_at timestamptz;  -- the latest round of reading

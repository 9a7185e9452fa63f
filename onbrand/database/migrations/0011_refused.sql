-- The brand pack that a worker should draw with and can't use, and why (`worker/switching.py`). It draws with another.

alter table worker add column refused_pack_id text;
alter table worker add column refused_because text;  -- a sentence for the operator

create or replace view live_worker as  -- `select *` means the columns that there were when it was made
    select * from worker where seen_at > now() - interval '30 seconds';

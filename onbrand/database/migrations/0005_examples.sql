-- Prompts that the worker's pack is known to draw well: the page offers them to begin with.

alter table worker add column examples text[] not null default '{}';

create or replace view live_worker as  -- `select *` means the columns that there were when it was made
    select * from worker where seen_at > now() - interval '30 seconds';

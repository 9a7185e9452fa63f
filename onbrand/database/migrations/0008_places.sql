-- The place of a waiting job, once more: databases that were made before 22 November 2026 have an earlier form of this
-- view from 0002, which was changed after it had been applied. In it, what was begun and interrupted didn't go first.

create or replace view waiting_job as
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

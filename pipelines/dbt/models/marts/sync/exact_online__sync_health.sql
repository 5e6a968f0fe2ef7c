-- How fresh each table of each company is, and what the last sync said. Division 0 stands for what
-- is read once for all companies.
with numbered as (
  select
    *,
    row_number() over (partition by division, entity order by ended_at desc, started_at desc) as nth
  from {{ ref('stg_exact_online__syncs') }}
),

totals as (
  select
    division,
    entity,
    count(*) as syncs,
    sum(calls) as calls,
    sum(rows_loaded) as rows_loaded,
    sum(rows_deleted) as rows_deleted,
    max(case when status = 'complete' then started_at end) as last_success_at
  from {{ ref('stg_exact_online__syncs') }}
  group by division, entity
)

select
  n.division,
  coalesce(d.division_name, '(all companies)') as division_name,
  n.entity,
  n.feed,
  n.status as last_status,
  n.error as last_error,
  n.code as last_code,
  n.ended_at as last_sync_at,
  t.last_success_at,
  {{ exact_hours_since('t.last_success_at') }} as hours_since_success,
  n.calls as last_calls,
  n.rows_loaded as last_rows_loaded,
  t.syncs,
  t.calls,
  t.rows_loaded,
  t.rows_deleted
from numbered as n
inner join totals as t on t.division = n.division and t.entity = n.entity
left join {{ ref('exact_online__dim_divisions') }} as d on d.division = n.division
where n.nth = 1

-- One row per run, or per round of a long one: streams that were read side by side.
with ordered as (
  select
    *,
    max(ended_at) over (
      order by started_at, ended_at, division, entity
      rows between unbounded preceding and 1 preceding
    ) as ended_before
  from {{ ref('stg_exact_online__syncs') }}
),

numbered as (
  select
    *,
    sum(case when ended_before is null or started_at > ended_before then 1 else 0 end) over (
      order by started_at, ended_at, division, entity
      rows between unbounded preceding and current row
    ) as run_number
  from ordered
)

select
  run_number,
  min(started_at) as started_at,
  max(ended_at) as ended_at,
  count(*) as streams,
  count(distinct case when division <> 0 then division end) as divisions,
  sum(calls) as calls,
  sum(rows_loaded) as rows_loaded,
  sum(rows_deleted) as rows_deleted,
  sum(case when status in ('failed', 'refused') then 1 else 0 end) as failed_streams
from numbered
group by run_number

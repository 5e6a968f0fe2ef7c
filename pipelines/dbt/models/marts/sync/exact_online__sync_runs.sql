-- One row per sync. Rows of versions before 0.2 have no run id: there streams that overlap are one run.
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
    ) as side_by_side
  from ordered
)

select
  row_number() over (order by min(started_at), min(side_by_side)) as run_number,
  run_id,
  min(started_at) as started_at,
  max(ended_at) as ended_at,
  count(*) as streams,
  count(distinct case when division <> 0 then division end) as divisions,
  sum(calls) as calls,
  sum(rows_loaded) as rows_loaded,
  sum(rows_deleted) as rows_deleted,
  sum(
    case
      -- A module, right or scope that is missing is not a failure.
      when status in ('failed', 'refused') and coalesce(code, '') <> 'unavailable' then 1
      else 0
    end
  ) as failed_streams
from numbered
group by run_id, case when run_id is null then side_by_side end

-- Calls that the syncs spent, by company and day; Exact allows 5,000 a day and company (from all
-- apps of one kind together) unless the contract says more.
select
  division,
  {{ exact_utc_day('started_at') }} as day,
  sum(calls) as calls,
  sum(rows_loaded) as rows_loaded
from {{ ref('stg_exact_online__syncs') }}
group by division, {{ exact_utc_day('started_at') }}

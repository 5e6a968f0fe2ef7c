select started_at, ended_at, streams, divisions, calls, rows_loaded, rows_deleted, failed_streams
from {{ ref('exact_online__sync_runs') }}
order by run_number desc
limit 24

select
  division, entity, last_status, last_error, last_code, last_sync_at, last_success_at, last_rows_loaded, rows_loaded
from {{ ref('exact_online__sync_health') }}
where true {{ only_or_all }}
order by division, entity

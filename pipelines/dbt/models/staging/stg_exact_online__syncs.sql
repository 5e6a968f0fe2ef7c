-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
select
  run_id,
  division,
  division_name,
  entity,
  feed,
  started_at,
  ended_at,
  calls + coalesce(shared_calls, 0) as calls,
  {{ adapter.quote('rows') }} as rows_loaded,
  deleted as rows_deleted,
  status,
  nullif(error, '') as error,
  nullif(code, '') as code
from {{ source('exact_online', '_exact_syncs') }}

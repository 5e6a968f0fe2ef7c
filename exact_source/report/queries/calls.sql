select division, sum(calls)
from {{ ref('sync_calls_by_day') }}
where day = {{ today }} {{ only }}
group by division

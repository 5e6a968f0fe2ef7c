select division, sum(calls)
from {{ ref('exact_online__sync_calls_by_day') }}
where day = {{ today }} {{ only }}
group by division

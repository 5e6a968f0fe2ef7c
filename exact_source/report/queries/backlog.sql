select currency, sum(amount_open), count(distinct order_id), sum(case when is_late then amount_open else 0 end)
from {{ ref('order_backlog') }}
where true {{ only }}
group by currency

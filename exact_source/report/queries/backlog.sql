select currency, sum(amount_open), count(distinct order_id), sum(case when is_late then amount_open else 0 end)
from {{ ref('exact_online__order_backlog') }}
-- A company without entries is not on the page.
where division in (select division from {{ ref('exact_online__dim_divisions') }} where has_postings) {{ only }}
group by currency

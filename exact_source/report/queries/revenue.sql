select currency, division, month, sum(revenue)
from {{ ref('exact_online__revenue_by_customer_month') }}
where month <= {{ day }} {{ only }}
group by currency, division, month
order by month, division

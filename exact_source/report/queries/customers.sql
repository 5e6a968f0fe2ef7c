with customers as (
  select
    currency,
    consolidation_key,
    max(account_name) as account_name,
    min(division) as division,
    count(distinct division) as companies,
    sum(revenue) as revenue,
    sum(invoices) as invoices
  from {{ ref('exact_online__revenue_by_customer_month') }}
  where month >= {{ since }} and month <= {{ until }} {{ only }}
  group by currency, consolidation_key
),

ranked as (
  select
    *,
    row_number() over (partition by currency order by revenue desc, consolidation_key) as place
  from customers
)

select currency, account_name, revenue, invoices, division, companies
from ranked
where place <= 10 and revenue > 0
order by currency, place

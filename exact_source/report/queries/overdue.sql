with parties as (
  select
    currency,
    consolidation_key,
    max(account_name) as account_name,
    min(division) as division,
    count(distinct division) as companies,
    sum(open_amount) as open_amount,
    sum(case when days_overdue > 0 then open_amount else 0 end) as overdue_amount,
    max(case when open_amount > 0 then days_overdue end) as days_overdue
  from {{ ref('exact_online__open_receivables') }}
  where true {{ only }}
  group by currency, consolidation_key
),

ranked as (
  select
    *,
    row_number() over (partition by currency order by overdue_amount desc, consolidation_key) as place
  from parties
  where overdue_amount > 0
)

select currency, account_name, open_amount, overdue_amount, days_overdue, division, companies
from ranked
where place <= 10
order by currency, place

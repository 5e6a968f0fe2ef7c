select
  currency, sum(open_amount), sum(not_due), sum(overdue_1_30), sum(overdue_31_60),
  sum(overdue_61_90), sum(overdue_over_90), sum(items)
from {{ ref('exact_online__open_' ~ kind ~ '_ageing') }}
where true {{ only }}
group by currency

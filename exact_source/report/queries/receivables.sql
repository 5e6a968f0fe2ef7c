select
  division,
  sum(open_amount) as open_amount,
  sum(case when days_overdue > 0 then open_amount else 0 end) as overdue_amount
from {{ ref('exact_online__open_receivables') }}
where true {{ only }}
group by division

-- How many days customers take to pay, and how many we take, at the end of each calendar month: what
-- is open, of the revenue or the costs of the last twelve months. Open items hold VAT, revenue none.
with monthly as (
  select
    b.division,
    b.month,
    sum(case when g.section = 'receivables' then b.closing_balance else 0 end) as receivables,
    sum(case when g.section = 'payables' then -b.closing_balance else 0 end) as payables,
    sum(case when g.section = 'revenue' then -b.movement else 0 end) as revenue,
    sum(case when g.section in ('cost_of_goods', 'operating_costs') then b.movement else 0 end) as costs
  from {{ ref('int_exact_online__monthly_balances') }} as b
  inner join {{ ref('exact_online__dim_gl_accounts') }} as g
    on g.division = b.division and g.gl_account_id = b.gl_account_id
  group by b.division, b.month
),

rolling as (
  select
    division,
    month,
    receivables,
    payables,
    sum(revenue) over (
      partition by division order by month rows between 11 preceding and current row
    ) as revenue,
    sum(costs) over (
      partition by division order by month rows between 11 preceding and current row
    ) as costs
  from monthly
)

select
  r.division,
  d.division_name,
  d.currency,
  r.month,
  {{ exact_month_end('r.month') }} as month_end,
  r.receivables as receivables_balance,
  r.payables as payables_balance,
  r.revenue as revenue_12_months,
  r.costs as costs_12_months,
  case when r.revenue > 0 then {{ exact_amount('round(365 * r.receivables / r.revenue, 1)') }} end as days_sales_outstanding,
  case when r.costs > 0 then {{ exact_amount('round(365 * r.payables / r.costs, 1)') }} end as days_payables_outstanding
from rolling as r
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = r.division

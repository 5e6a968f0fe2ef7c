-- Profit and loss by cost centre, cost unit and project; what was booked without one is in a row
-- without one. Budgets have no project.
with entries as (
  select
    division, financial_year, financial_period, cost_center, cost_unit, project_code, gl_account_id,
    -amount as amount, 0 as amount_prior_year, 0 as budget_amount
  from {{ ref('int_exact_online__postings') }}
  where balance_type = 'W'

  union all

  select
    division, financial_year + 1, financial_period, cost_center, cost_unit, project_code,
    gl_account_id, 0, -amount, 0
  from {{ ref('int_exact_online__postings') }}
  where balance_type = 'W'

  union all

  select
    division, financial_year, financial_period, cost_center, cost_unit, null, gl_account_id,
    0, 0, -amount
  from {{ ref('int_exact_online__budget') }}
)

select
  e.division,
  d.division_name,
  d.currency,
  e.financial_year,
  e.financial_period,
  p.period_start,
  p.period_end,
  coalesce(e.cost_center, '(none)') as cost_center,
  coalesce(e.cost_unit, '(none)') as cost_unit,
  coalesce(e.project_code, '(none)') as project_code,
  g.section,
  e.gl_account_id,
  g.gl_account_code,
  g.gl_account_description,
  sum(e.amount) as amount,
  sum(e.amount_prior_year) as amount_prior_year,
  sum(e.budget_amount) as budget_amount,
  sum(e.amount) - sum(e.budget_amount) as budget_variance_amount
from entries as e
inner join {{ ref('exact_online__periods') }} as p
  on
    p.division = e.division
    and p.financial_year = e.financial_year
    and p.financial_period = e.financial_period
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = e.division
inner join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = e.division and g.gl_account_id = e.gl_account_id
where g.balance_type = 'W'
group by
  e.division, d.division_name, d.currency, e.financial_year, e.financial_period, p.period_start,
  p.period_end, coalesce(e.cost_center, '(none)'), coalesce(e.cost_unit, '(none)'),
  coalesce(e.project_code, '(none)'), g.section, e.gl_account_id, g.gl_account_code,
  g.gl_account_description

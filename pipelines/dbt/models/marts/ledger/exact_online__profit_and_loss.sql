-- Income is positive, costs are negative: a column adds up to the result. A variance is what the
-- result is better by than the budget.
select
  b.division,
  d.division_name,
  d.currency,
  b.financial_year,
  b.financial_period,
  b.period_start,
  b.period_end,
  s.section,
  s.section_name,
  s.section_order,
  b.gl_account_id,
  g.gl_account_code,
  g.gl_account_description,
  -b.movement as amount,
  -b.movement_prior_period as amount_prior_period,
  -b.movement_prior_year as amount_prior_year,
  -b.closing_balance as amount_year_to_date,
  -b.balance_prior_year as amount_year_to_date_prior_year,
  -b.budget as budget_amount,
  b.budget - b.movement as budget_variance_amount,
  -b.budget_year_to_date as budget_year_to_date_amount,
  b.budget_year_to_date - b.closing_balance as budget_variance_year_to_date_amount
from {{ ref('int_exact_online__balances') }} as b
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = b.division
inner join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = b.division and g.gl_account_id = b.gl_account_id
inner join {{ ref('int_exact_online__statement_sections') }} as s on s.section = g.section
where
  b.balance_type = 'W'
  and (
    b.debit <> 0
    or b.credit <> 0
    or b.closing_balance <> 0
    or b.movement_prior_period <> 0
    or b.movement_prior_year <> 0
    or b.balance_prior_year <> 0
    or b.budget <> 0
    or b.budget_year_to_date <> 0
  )

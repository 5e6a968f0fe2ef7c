-- Balances at the end of each period. The result of the current year is one row under equity, so
-- that assets equal liabilities.
with combined as (
  select
    b.division,
    b.financial_year,
    b.financial_period,
    b.period_start,
    b.period_end,
    b.row_type,
    coalesce(g.section, 'equity') as section,
    b.gl_account_id,
    coalesce(g.gl_account_code, '(earlier result)') as gl_account_code,
    coalesce(g.gl_account_description, 'Result of earlier years') as gl_account_description,
    b.closing_balance as balance,
    b.balance_prior_period,
    b.balance_prior_year
  from {{ ref('int_exact_online__balances') }} as b
  left join {{ ref('exact_online__dim_gl_accounts') }} as g
    on g.division = b.division and g.gl_account_id = b.gl_account_id
  where b.balance_type <> 'W'

  union all

  select
    division,
    financial_year,
    financial_period,
    period_start,
    period_end,
    'result' as row_type,
    'equity' as section,
    null as gl_account_id,
    '(result)' as gl_account_code,
    'Result of the year so far' as gl_account_description,
    sum(closing_balance) as balance,
    -- In the first period of a year, the closing balance of the previous period is from another year.
    sum(balance_prior_period) as balance_prior_period,
    sum(balance_prior_year) as balance_prior_year
  from {{ ref('int_exact_online__balances') }}
  where balance_type = 'W'
  group by division, financial_year, financial_period, period_start, period_end
)

select
  c.division,
  d.division_name,
  d.currency,
  c.financial_year,
  c.financial_period,
  c.period_start,
  c.period_end,
  s.side,
  s.section,
  s.section_name,
  s.section_order,
  c.row_type,
  c.gl_account_id,
  c.gl_account_code,
  c.gl_account_description,
  c.balance,
  case when s.side = 'assets' then c.balance else -c.balance end as amount,
  case when s.side = 'assets' then c.balance_prior_period else -c.balance_prior_period end
    as amount_prior_period,
  case when s.side = 'assets' then c.balance_prior_year else -c.balance_prior_year end
    as amount_prior_year
from combined as c
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = c.division
inner join {{ ref('int_exact_online__statement_sections') }} as s on s.section = c.section
where c.balance <> 0 or c.balance_prior_period <> 0 or c.balance_prior_year <> 0

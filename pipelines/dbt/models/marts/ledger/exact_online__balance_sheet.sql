-- Balances at the end of each period. The result of the running year is one row under equity, so
-- that assets equal liabilities.
with combined as (
  select
    division,
    division_name,
    currency,
    financial_year,
    financial_period,
    row_type,
    section,
    gl_account_id,
    gl_account_code,
    gl_account_description,
    closing_balance as balance
  from {{ ref('exact_online__trial_balance') }}
  where balance_type <> 'W' and closing_balance <> 0

  union all

  select
    division,
    division_name,
    currency,
    financial_year,
    financial_period,
    'result' as row_type,
    'equity' as section,
    null as gl_account_id,
    '(result)' as gl_account_code,
    'Result of the year so far' as gl_account_description,
    sum(closing_balance) as balance
  from {{ ref('exact_online__trial_balance') }}
  where balance_type = 'W'
  group by division, division_name, currency, financial_year, financial_period
)

select
  c.division,
  c.division_name,
  c.currency,
  c.financial_year,
  c.financial_period,
  s.side,
  s.section,
  s.section_name,
  s.section_order,
  c.row_type,
  c.gl_account_id,
  c.gl_account_code,
  c.gl_account_description,
  c.balance,
  case when s.side = 'assets' then c.balance else -c.balance end as amount
from combined as c
inner join {{ ref('int_exact_online__statement_sections') }} as s on s.section = c.section

-- Both statements by the classifications of a scheme (such as RGS), level by level, debit positive.
-- Accounts without a classification are in `exact_online__unmapped_gl_accounts`.
select
  b.division,
  d.division_name,
  d.currency,
  b.financial_year,
  b.financial_period,
  b.period_start,
  b.period_end,
  l.scheme,
  l.level,
  l.classification_code,
  max(l.classification_description) as classification_description,
  b.balance_type,
  sum(b.movement) as movement,
  sum(b.closing_balance) as balance
from {{ ref('int_exact_online__balances') }} as b
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = b.division
inner join {{ ref('int_exact_online__classification_levels') }} as l
  on l.division = b.division and l.gl_account_id = b.gl_account_id
group by
  b.division, d.division_name, d.currency, b.financial_year, b.financial_period, b.period_start,
  b.period_end, l.scheme, l.level, l.classification_code, b.balance_type

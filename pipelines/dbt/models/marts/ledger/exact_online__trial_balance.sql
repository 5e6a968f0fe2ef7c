-- Per company, period and ledger account: opening balance, debit, credit, closing balance.
select
  b.division,
  d.division_name,
  d.currency,
  b.financial_year,
  b.financial_period,
  b.period_start,
  b.period_end,
  b.row_type,
  b.gl_account_id,
  coalesce(g.gl_account_code, '(earlier result)') as gl_account_code,
  coalesce(g.gl_account_description, 'Result of earlier years') as gl_account_description,
  g.gl_account_type,
  b.balance_type,
  coalesce(g.section, 'equity') as section,
  b.opening_balance,
  b.debit,
  b.credit,
  b.movement,
  b.closing_balance
from {{ ref('int_exact_online__balances') }} as b
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = b.division
left join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = b.division and g.gl_account_id = b.gl_account_id
where b.opening_balance <> 0 or b.closing_balance <> 0 or b.debit <> 0 or b.credit <> 0

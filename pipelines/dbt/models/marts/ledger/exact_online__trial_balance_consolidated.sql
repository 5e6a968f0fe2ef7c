{{ config(materialized='view') }}

-- By calendar month of the entry date, never by the number of a period.
select
  d.currency,
  b.month,
  {{ exact_month_end('b.month') }} as month_end,
  coalesce(g.gl_account_code, '(earlier result)') as gl_account_code,
  coalesce(g.section, 'equity') as section,
  max(coalesce(g.gl_account_description, 'Result of earlier years')) as gl_account_description,
  max(b.balance_type) as balance_type,
  count(distinct b.division) as divisions,
  sum(b.opening_balance) as opening_balance,
  sum(b.debit) as debit,
  sum(b.credit) as credit,
  sum(b.movement) as movement,
  sum(b.closing_balance) as closing_balance
from {{ ref('int_exact_online__monthly_balances') }} as b
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = b.division
left join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = b.division and g.gl_account_id = b.gl_account_id
where b.opening_balance <> 0 or b.closing_balance <> 0 or b.debit <> 0 or b.credit <> 0
group by
  d.currency, b.month, coalesce(g.gl_account_code, '(earlier result)'),
  coalesce(g.section, 'equity')

{{ config(materialized='view') }}

-- At the end of each calendar month; the result is that of the calendar year so far.
with combined as (
  select
    b.division,
    b.month,
    coalesce(g.section, 'equity') as section,
    coalesce(g.gl_account_code, '(earlier result)') as gl_account_code,
    coalesce(g.gl_account_description, 'Result of earlier years') as gl_account_description,
    b.closing_balance as balance
  from {{ ref('int_exact_online__monthly_balances') }} as b
  left join {{ ref('exact_online__dim_gl_accounts') }} as g
    on g.division = b.division and g.gl_account_id = b.gl_account_id
  where b.balance_type <> 'W' and b.closing_balance <> 0

  union all

  select
    division,
    month,
    'equity' as section,
    '(result)' as gl_account_code,
    'Result of the calendar year so far' as gl_account_description,
    sum(closing_balance) as balance
  from {{ ref('int_exact_online__monthly_balances') }}
  where balance_type = 'W' and closing_balance <> 0
  group by division, month
)

select
  d.currency,
  c.month,
  {{ exact_month_end('c.month') }} as month_end,
  s.side,
  s.section,
  s.section_name,
  s.section_order,
  c.gl_account_code,
  max(c.gl_account_description) as gl_account_description,
  count(distinct c.division) as divisions,
  sum(c.balance) as balance,
  sum(case when s.side = 'assets' then c.balance else -c.balance end) as amount
from combined as c
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = c.division
inner join {{ ref('int_exact_online__statement_sections') }} as s on s.section = c.section
group by
  d.currency, c.month, s.side, s.section, s.section_name, s.section_order, c.gl_account_code

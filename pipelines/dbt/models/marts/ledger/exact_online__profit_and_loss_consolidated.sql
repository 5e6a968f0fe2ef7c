{{ config(materialized='view') }}

-- By calendar month and year of the entry date, never by the number of a period.
select
  d.currency,
  b.month,
  {{ exact_month_end('b.month') }} as month_end,
  s.section,
  s.section_name,
  s.section_order,
  g.gl_account_code,
  max(g.gl_account_description) as gl_account_description,
  count(distinct b.division) as divisions,
  sum(-b.movement) as amount,
  sum(-b.closing_balance) as amount_year_to_date
from {{ ref('int_exact_online__monthly_balances') }} as b
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = b.division
inner join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = b.division and g.gl_account_id = b.gl_account_id
inner join {{ ref('int_exact_online__statement_sections') }} as s on s.section = g.section
where b.balance_type = 'W' and (b.debit <> 0 or b.credit <> 0 or b.closing_balance <> 0)
group by
  d.currency, b.month, s.section, s.section_name, s.section_order, g.gl_account_code

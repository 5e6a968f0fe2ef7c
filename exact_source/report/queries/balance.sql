-- At the end of a calendar month; the result of the year is part of equity.
select
  d.currency,
  s.side,
  s.section,
  s.section_name,
  s.section_order,
  sum(case when s.side = 'assets' then b.closing_balance else -b.closing_balance end)
from {{ ref('int_exact_online__monthly_balances') }} as b
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = b.division
left join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = b.division and g.gl_account_id = b.gl_account_id
inner join {{ ref('int_exact_online__statement_sections') }} as s
  on s.section = case when b.balance_type = 'W' then 'equity' else coalesce(g.section, 'equity') end
where b.month = {{ month }} {{ only_of_b }}
group by d.currency, s.side, s.section, s.section_name, s.section_order
order by s.section_order

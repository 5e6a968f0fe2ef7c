-- By calendar year and month of the entries: this year to its last month, last year to the same month,
-- last year in full.
select
  d.currency,
  s.section,
  s.section_name,
  s.section_order,
  g.gl_account_code,
  max(g.gl_account_description),
  sum(case when b.month >= {{ this_year }} and b.month <= {{ month }} then -b.movement else 0 end),
  sum(case when b.month < {{ this_year }} and b.month <= {{ month_before }} then -b.movement else 0 end),
  sum(case when b.month < {{ this_year }} then -b.movement else 0 end)
from {{ ref('int_exact_online__monthly_balances') }} as b
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = b.division
inner join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = b.division and g.gl_account_id = b.gl_account_id
inner join {{ ref('int_exact_online__statement_sections') }} as s on s.section = g.section
where
  b.balance_type = 'W'
  and b.month >= {{ year_before }}
  and b.month <= {{ month }}
  {{ only_of_b }}
group by d.currency, s.section, s.section_name, s.section_order, g.gl_account_code
order by s.section_order, g.gl_account_code

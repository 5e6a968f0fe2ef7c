-- Income is positive, costs are negative: a column adds up to the result.
select
  t.division,
  t.division_name,
  t.currency,
  t.financial_year,
  t.financial_period,
  s.section,
  s.section_name,
  s.section_order,
  t.gl_account_id,
  t.gl_account_code,
  t.gl_account_description,
  -t.movement as amount,
  -t.closing_balance as amount_year_to_date
from {{ ref('exact_online__trial_balance') }} as t
inner join {{ ref('int_exact_online__statement_sections') }} as s on s.section = t.section
where t.balance_type = 'W'

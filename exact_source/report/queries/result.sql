select
  currency,
  section,
  section_name,
  section_order,
  gl_account_code,
  max(gl_account_description),
  sum(case when financial_year = {{ year }} and financial_period <= {{ period }} then amount else 0 end),
  sum(case when financial_year = {{ year - 1 }} and financial_period <= {{ period }} then amount else 0 end),
  sum(case when financial_year = {{ year - 1 }} then amount else 0 end)
from {{ ref('exact_online__profit_and_loss') }}
where financial_year in ({{ year }}, {{ year - 1 }}) {{ only }}
group by currency, section, section_name, section_order, gl_account_code
order by section_order, gl_account_code

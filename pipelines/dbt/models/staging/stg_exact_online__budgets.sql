-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('budget_scenario_code', 'text'),
  ('reporting_year', 'number'),
  ('reporting_period', 'number'),
  ('gl_account', 'text'),
  ('costcenter', 'text'),
  ('costunit', 'text'),
  ('amount_dc', 'amount'),
] %}
select
  division,
  id as budget_id,
  coalesce({{ exact_text('budget_scenario_code') }}, '') as scenario,
  cast(reporting_year as integer) as financial_year,
  cast(reporting_period as integer) as financial_period,
  {{ exact_key('gl_account') }} as gl_account_id,
  {{ exact_text('costcenter') }} as cost_center,
  {{ exact_text('costunit') }} as cost_unit,
  {{ exact_amount('amount_dc') }} as amount
from {{ exact_table('budgets', columns) }} as t
where _deleted_at is null

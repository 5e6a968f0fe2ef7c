-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('reporting_year', 'number'),
  ('reporting_period', 'number'),
  ('gl_account', 'text'),
  ('type', 'number'),
  ('status', 'number'),
  ('amount', 'amount'),
] %}
select
  division,
  cast(reporting_year as integer) as financial_year,
  cast(reporting_period as integer) as financial_period,
  {{ exact_key('gl_account') }} as gl_account_id,
  type as entry_type,
  cast(status as integer) as status,
  {{ exact_amount('amount') }} as amount
from {{ exact_table('reporting_balance', columns) }} as t
where _deleted_at is null

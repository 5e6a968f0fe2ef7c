-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('date', 'moment'),
  ('type', 'number'),
  ('hour_status', 'number'),
  ('employee', 'text'),
  ('project', 'text'),
  ('project_code', 'text'),
  ('project_description', 'text'),
  ('quantity', 'amount'),
  ('amount_fc', 'amount'),
  ('currency', 'text'),
] %}
select
  division,
  id as transaction_id,
  {{ exact_date('date') }} as entry_date,
  cast(type as integer) as transaction_type,
  cast(hour_status as integer) as hour_status,
  {{ exact_key('employee') }} as employee_id,
  {{ exact_key('project') }} as project_id,
  {{ exact_text('project_code') }} as project_code,
  {{ exact_text('project_description') }} as project_description,
  {{ exact_amount('quantity') }} as quantity,
  {{ exact_amount('amount_fc') }} as amount,
  {{ exact_text('currency') }} as transaction_currency
from {{ exact_table('time_cost_transactions', columns) }} as t
where _deleted_at is null

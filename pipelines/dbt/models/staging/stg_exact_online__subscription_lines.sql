-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('entry_id', 'text'),
  ('line_type', 'number'),
  ('from_date', 'moment'),
  ('to_date', 'moment'),
  ('amount_dc', 'amount'),
] %}
select
  division,
  id as subscription_line_id,
  {{ exact_key('entry_id') }} as subscription_id,
  cast(line_type as integer) as line_type,
  {{ exact_date('from_date') }} as from_date,
  {{ exact_date('to_date') }} as to_date,
  {{ exact_amount('amount_dc') }} as amount
from {{ exact_table('subscription_lines', columns) }} as t
where _deleted_at is null

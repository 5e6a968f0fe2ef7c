-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('order_id', 'text'),
  ('order_number', 'number'),
  ('order_date', 'moment'),
  ('delivery_date', 'moment'),
  ('status', 'number'),
  ('ordered_by', 'text'),
  ('ordered_by_name', 'text'),
] %}
select
  division,
  order_id,
  order_number,
  {{ exact_date('order_date') }} as order_date,
  {{ exact_date('delivery_date') }} as delivery_date,
  cast(status as integer) as status,
  {{ exact_key('ordered_by') }} as account_id,
  {{ exact_text('ordered_by_name') }} as account_name
from {{ exact_table('sales_orders', columns) }} as t
where _deleted_at is null

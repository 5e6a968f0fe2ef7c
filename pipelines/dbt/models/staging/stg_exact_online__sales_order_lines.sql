-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('order_id', 'text'),
  ('order_number', 'number'),
  ('line_number', 'number'),
  ('item', 'text'),
  ('item_code', 'text'),
  ('item_description', 'text'),
  ('delivery_date', 'moment'),
  ('quantity', 'amount'),
  ('quantity_delivered', 'amount'),
  ('quantity_invoiced', 'amount'),
  ('amount_dc', 'amount'),
] %}
select
  division,
  id as order_line_id,
  {{ exact_key('order_id') }} as order_id,
  order_number,
  line_number,
  {{ exact_key('item') }} as item_id,
  {{ exact_text('item_code') }} as item_code,
  {{ exact_text('item_description') }} as item_description,
  {{ exact_date('delivery_date') }} as delivery_date,
  {{ exact_amount('quantity') }} as quantity,
  coalesce({{ exact_amount('quantity_delivered') }}, 0) as quantity_delivered,
  coalesce({{ exact_amount('quantity_invoiced') }}, 0) as quantity_invoiced,
  {{ exact_amount('amount_dc') }} as amount
from {{ exact_table('sales_order_lines', columns) }} as t
where _deleted_at is null

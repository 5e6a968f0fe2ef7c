-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('code', 'text'),
  ('description', 'text'),
  ('item_group_code', 'text'),
  ('item_group_description', 'text'),
  ('unit', 'text'),
  ('is_stock_item', 'flag'),
  ('stock', 'amount'),
  ('average_cost', 'amount'),
  ('cost_price_standard', 'amount'),
] %}
select
  division,
  id as item_id,
  {{ exact_text('code') }} as item_code,
  {{ exact_text('description') }} as item_description,
  {{ exact_text('item_group_code') }} as item_group_code,
  {{ exact_text('item_group_description') }} as item_group_description,
  {{ exact_text('unit') }} as unit_code,
  coalesce(is_stock_item, false) as is_stock_item,
  {{ exact_amount('stock') }} as stock_quantity,
  {{ exact_amount('average_cost') }} as average_cost,
  {{ exact_amount('cost_price_standard') }} as standard_cost
from {{ exact_table('items', columns) }} as t
where _deleted_at is null

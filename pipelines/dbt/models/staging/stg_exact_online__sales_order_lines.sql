{{ config(enabled=var('exact_use_sales_orders', true)) }}

-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
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
from {{ source('exact_online', 'sales_order_lines') }}
where _deleted_at is null

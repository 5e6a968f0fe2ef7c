{{ config(enabled=var('exact_use_sales_orders', true)) }}

-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
select
  division,
  order_id,
  order_number,
  {{ exact_date('order_date') }} as order_date,
  {{ exact_date('delivery_date') }} as delivery_date,
  cast(status as integer) as status,
  {{ exact_key('ordered_by') }} as account_id,
  {{ exact_text('ordered_by_name') }} as account_name
from {{ source('exact_online', 'sales_orders') }}
where _deleted_at is null

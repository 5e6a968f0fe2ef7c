-- Order lines that are not delivered in full. Lines with a negative quantity, which are returns or
-- discounts, reduce the value. Status of an order: 12 open, 20 partial, 21 complete,
-- 45 cancelled.
with open_lines as (
  select
    l.*,
    o.account_id,
    o.account_name,
    o.order_date,
    o.delivery_date as order_delivery_date,
    o.status,
    l.quantity - l.quantity_delivered as quantity_open
  from {{ ref('stg_exact_online__sales_order_lines') }} as l
  inner join {{ ref('stg_exact_online__sales_orders') }} as o
    on o.division = l.division and o.order_id = l.order_id
  where
    o.status in (12, 20)
    and (
      (l.quantity > 0 and l.quantity_delivered < l.quantity)
      or (l.quantity < 0 and l.quantity_delivered > l.quantity)
    )
)

select
  b.division,
  d.division_name,
  d.currency,
  b.order_line_id,
  b.order_id,
  b.order_number,
  b.line_number,
  b.status as order_status,
  b.order_date,
  coalesce(b.delivery_date, b.order_delivery_date) as delivery_date,
  coalesce(b.delivery_date, b.order_delivery_date) < {{ exact_as_of() }} as is_late,
  b.account_id,
  b.account_name,
  b.item_id,
  b.item_code,
  b.item_description,
  b.quantity,
  b.quantity_delivered,
  b.quantity_open,
  b.amount,
  case
    when b.quantity_delivered = 0 then b.amount
    else {{ exact_amount('round(b.amount * b.quantity_open / b.quantity, 2)') }}
  end as amount_open
from open_lines as b
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = b.division

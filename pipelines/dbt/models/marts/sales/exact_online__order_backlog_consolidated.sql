{{ config(materialized='view') }}

select
  currency,
  {{ exact_month('delivery_date') }} as delivery_month,
  count(distinct division) as divisions,
  count(distinct order_id) as orders,
  count(*) as order_lines,
  sum(case when is_late then amount_open else 0 end) as amount_late,
  sum(amount_open) as amount_open
from {{ ref('exact_online__order_backlog') }}
group by currency, {{ exact_month('delivery_date') }}

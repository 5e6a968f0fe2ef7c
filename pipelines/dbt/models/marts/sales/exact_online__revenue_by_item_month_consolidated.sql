{{ config(materialized='view') }}

-- By item code, which is useful if the companies share one list of items.
select
  currency,
  month,
  coalesce(item_code, '(no item)') as item_code,
  max(item_description) as item_description,
  count(distinct division) as divisions,
  sum(quantity) as quantity,
  sum(revenue) as revenue
from {{ ref('exact_online__revenue_by_item_month') }}
group by currency, month, coalesce(item_code, '(no item)')

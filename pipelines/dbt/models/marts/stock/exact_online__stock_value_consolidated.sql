{{ config(materialized='view') }}

select
  currency,
  coalesce(item_group_code, '(no group)') as item_group_code,
  max(item_group_description) as item_group_description,
  count(distinct division) as divisions,
  count(*) as items,
  sum(stock_value) as stock_value
from {{ ref('exact_online__stock_value') }}
group by currency, coalesce(item_group_code, '(no group)')

{{ config(enabled=var('exact_use_items', true)) }}

-- What lies in the warehouses now, at average cost where Exact keeps one, else at standard cost.
-- A valuation from the items, not the balance of the stock accounts.
select
  i.division,
  d.division_name,
  d.currency,
  i.item_id,
  i.item_code,
  i.item_description,
  i.item_group_code,
  i.item_group_description,
  i.unit_code,
  i.stock_quantity,
  case
    when i.average_cost is not null then 'average cost'
    when i.standard_cost is not null then 'standard cost'
    else 'no cost'
  end as cost_basis,
  coalesce(i.average_cost, i.standard_cost, 0) as unit_cost,
  {{ exact_amount('round(i.stock_quantity * coalesce(i.average_cost, i.standard_cost, 0), 2)') }} as stock_value
from {{ ref('stg_exact__items') }} as i
inner join {{ ref('dim_divisions') }} as d on d.division = i.division
where i.is_stock_item and i.stock_quantity <> 0

-- Current stock, at average cost if Exact keeps it, otherwise at standard cost.
-- A valuation from the items, not the balance of the stock accounts. Average costing is a setting of
-- the whole company, so one in which no item has an average keeps none, and a 0 is none there.
with kept as (
  select division from {{ ref('stg_exact_online__items') }} where average_cost <> 0 group by division
),

costed as (
  select
    i.*,
    case when k.division is not null then i.average_cost end as kept_average_cost
  from {{ ref('stg_exact_online__items') }} as i
  left join kept as k on k.division = i.division
)

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
    when i.kept_average_cost is not null then 'average cost'
    when i.standard_cost is not null then 'standard cost'
    else 'no cost'
  end as cost_basis,
  coalesce(i.kept_average_cost, i.standard_cost, 0) as unit_cost,
  {{ exact_amount('round(i.stock_quantity * coalesce(i.kept_average_cost, i.standard_cost, 0), 2)') }} as stock_value
from costed as i
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = i.division
where i.is_stock_item and i.stock_quantity <> 0

-- The same revenue by item; revenue without an item is one row per month.
select
  p.division,
  d.division_name,
  d.currency,
  {{ exact_month('p.entry_date') }} as month,
  p.item_id,
  i.item_code,
  coalesce(i.item_description, '(no item)') as item_description,
  i.item_group_code,
  i.item_group_description,
  sum(p.quantity) as quantity,
  -sum(p.amount) as revenue
from {{ ref('int_exact_online__postings') }} as p
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = p.division
left join {{ ref('exact_online__dim_items') }} as i on i.division = p.division and i.item_id = p.item_id
where p.section = 'revenue'
group by
  p.division, d.division_name, d.currency, {{ exact_month('p.entry_date') }}, p.item_id,
  i.item_code, i.item_description, i.item_group_code, i.item_group_description

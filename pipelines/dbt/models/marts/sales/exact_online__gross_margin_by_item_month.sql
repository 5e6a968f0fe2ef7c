-- Revenue and cost of goods that were posted on items, by the month of the entry.
select
  p.division,
  d.division_name,
  d.currency,
  p.month,
  p.item_id,
  i.item_code,
  coalesce(i.item_description, '(no item)') as item_description,
  i.item_group_code,
  sum(case when p.section = 'revenue' then -p.amount else 0 end) as revenue,
  sum(case when p.section = 'cost_of_goods' then p.amount else 0 end) as cost_of_goods_amount,
  -sum(p.amount) as gross_margin_amount
from {{ ref('int_exact_online__postings') }} as p
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = p.division
left join {{ ref('exact_online__dim_items') }} as i on i.division = p.division and i.item_id = p.item_id
where p.section in ('revenue', 'cost_of_goods')
group by
  p.division, d.division_name, d.currency, p.month, p.item_id, i.item_code,
  coalesce(i.item_description, '(no item)'), i.item_group_code

-- Every item that exists or has postings.
with posted as (
  select
    division,
    item_id,
    max(item_code) as item_code,
    max(item_description) as item_description
  from {{ ref('stg_exact_online__transaction_lines') }}
  where item_id is not null
  group by division, item_id
)

select
  coalesce(i.division, p.division) as division,
  coalesce(i.item_id, p.item_id) as item_id,
  coalesce(i.item_code, p.item_code) as item_code,
  coalesce(i.item_description, p.item_description) as item_description,
  i.item_group_code,
  i.item_group_description,
  i.item_id is null as is_gone
from {{ ref('stg_exact_online__items') }} as i
full outer join posted as p on p.division = i.division and p.item_id = i.item_id

-- Every ledger account that exists or has postings, with its section of the statements.
with posted as (
  select
    division,
    gl_account_id,
    max(gl_account_code) as gl_account_code,
    max(gl_account_description) as gl_account_description
  from {{ ref('stg_exact_online__transaction_lines') }}
  where gl_account_id is not null
  group by division, gl_account_id
),

joined as (
  select
    coalesce(g.division, p.division) as division,
    coalesce(g.gl_account_id, p.gl_account_id) as gl_account_id,
    coalesce(g.gl_account_code, p.gl_account_code) as gl_account_code,
    coalesce(g.gl_account_description, p.gl_account_description) as gl_account_description,
    g.gl_account_type,
    t.gl_account_type_name,
    coalesce(g.balance_type, t.balance_type, '?') as balance_type,
    g.balance_side,
    case when t.balance_type = coalesce(g.balance_type, t.balance_type) then t.section end as section
  from {{ ref('stg_exact_online__gl_accounts') }} as g
  full outer join posted as p on p.division = g.division and p.gl_account_id = g.gl_account_id
  left join {{ ref('int_exact_online__gl_account_types') }} as t on t.gl_account_type = g.gl_account_type
),

{# The user's own model or seed with gl_account_type or gl_account_code, and section. #}
{%- set own = var('exact_sections_from', '') %}
placed as (
  select
    j.*,
    -- General accounts (type 90) and new types: by the side of the account's balance.
    coalesce(
      {%- if own %}
      (
        select max(o.section)
        from {{ ref(own) }} as o
        where {{ exact_string('o.gl_account_code') }} = j.gl_account_code
      ),
      (
        select max(o.section)
        from {{ ref(own) }} as o
        where o.gl_account_code is null and o.gl_account_type = j.gl_account_type
      ),
      {%- endif %}
      j.section,
      case
        when j.balance_type = 'W' then 'other_result'
        when j.balance_side = 'C' then 'other_liabilities'
        else 'other_assets'
      end
    ) as placed_section
  from joined as j
)

select
  p.division,
  p.gl_account_id,
  p.gl_account_code,
  p.gl_account_description,
  p.gl_account_type,
  coalesce(p.gl_account_type_name, 'General') as gl_account_type_name,
  p.balance_type,
  p.balance_side,
  s.section,
  s.section_name,
  s.section_order,
  s.side
from placed as p
inner join {{ ref('int_exact_online__statement_sections') }} as s on s.section = p.placed_section

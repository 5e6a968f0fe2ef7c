-- Every customer and supplier that exists or has postings. Exact keeps the postings of a deleted
-- account, so the name may come from them.
with posted as (
  select
    division,
    account_id,
    max(account_code) as account_code,
    max(account_name) as account_name
  from {{ ref('stg_exact_online__transaction_lines') }}
  where account_id is not null
  group by division, account_id
),

joined as (
  select
    coalesce(a.division, p.division) as division,
    coalesce(a.account_id, p.account_id) as account_id,
    coalesce(a.account_code, p.account_code) as account_code,
    coalesce(a.account_name, p.account_name) as account_name,
    a.city,
    a.country,
    a.vat_number,
    a.chamber_of_commerce,
    a.account_id is null as is_gone
  from {{ ref('stg_exact_online__accounts') }} as a
  full outer join posted as p on p.division = a.division and p.account_id = a.account_id
)

select
  j.*,
  -- A party in several companies has a guid and a code in each of them, but one VAT number.
  case
    when j.vat_number is not null then concat('vat ', {{ exact_plain_number('j.vat_number') }})
    when j.chamber_of_commerce is not null
      then concat('register ', coalesce(j.country, ''), ' ', {{ exact_plain_number('j.chamber_of_commerce') }})
    else concat('account ', {{ exact_string('j.division') }}, ' ', j.account_id)
  end as consolidation_key
from joined as j

-- What two companies of the group have booked on each other, side by side: a customer or supplier
-- whose VAT or register number is that of a company stands for it. The two add up to nothing if both
-- have booked the same. Nothing is eliminated elsewhere.
with numbers as (
  select
    division,
    case when vat_number is not null then concat('vat ', {{ exact_plain_number('vat_number') }}) end as consolidation_key
  from {{ ref('stg_exact_online__divisions') }}

  union distinct

  select
    division,
    concat('register ', coalesce(country, ''), ' ', {{ exact_plain_number('chamber_of_commerce') }}) as consolidation_key
  from {{ ref('stg_exact_online__divisions') }}
  where chamber_of_commerce is not null
),

booked as (
  select
    p.division,
    n.division as counterparty,
    case when p.balance_type = 'W' then 'result' else 'balance' end as kind,
    sum(p.amount) as amount
  from {{ ref('int_exact_online__postings') }} as p
  inner join {{ ref('exact_online__dim_accounts') }} as a
    on a.division = p.division and a.account_id = p.account_id
  inner join numbers as n on n.consolidation_key = a.consolidation_key and n.division <> p.division
  where p.section not in ('cash', 'taxes', 'equity') and p.entry_date <= {{ exact_as_of() }}
  group by p.division, n.division, case when p.balance_type = 'W' then 'result' else 'balance' end
),

sides as (
  select
    least(division, counterparty) as division,
    greatest(division, counterparty) as counterparty,
    kind,
    sum(case when division < counterparty then amount else 0 end) as amount,
    sum(case when division > counterparty then amount else 0 end) as counterparty_amount
  from booked
  group by least(division, counterparty), greatest(division, counterparty), kind
)

select
  s.division,
  d.division_name,
  d.currency,
  s.counterparty,
  c.division_name as counterparty_name,
  c.currency as counterparty_currency,
  s.kind,
  s.amount,
  s.counterparty_amount,
  case when d.currency = c.currency then s.amount + s.counterparty_amount end as difference_amount
from sides as s
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = s.division
inner join {{ ref('exact_online__dim_divisions') }} as c on c.division = s.counterparty

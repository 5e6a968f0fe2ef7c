-- Every company that has postings or is in Exact's list of companies.
with known as (
  select division, division_name, currency from {{ ref('stg_exact_online__divisions') }}
),

posted as (
  select distinct division from {{ ref('stg_exact_online__transaction_lines') }}
)

select
  coalesce(k.division, p.division) as division,
  coalesce(k.division_name, {{ exact_string('p.division') }}) as division_name,
  coalesce(k.currency, '?') as currency,
  p.division is not null as has_postings
from known as k
full outer join posted as p on p.division = k.division

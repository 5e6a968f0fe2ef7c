-- Ledger accounts with postings that a scheme of their company does not classify.
with schemes as (
  select distinct division, scheme from {{ ref('int_exact_online__classification_levels') }}
),

posted as (
  select division, gl_account_id, sum(amount) as balance
  from {{ ref('int_exact_online__postings') }}
  group by division, gl_account_id
),

mapped as (
  select distinct division, scheme, gl_account_id
  from {{ ref('int_exact_online__classification_levels') }}
)

select
  s.division,
  s.scheme,
  p.gl_account_id,
  g.gl_account_code,
  g.gl_account_description,
  p.balance
from schemes as s
inner join posted as p on p.division = s.division
inner join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = p.division and g.gl_account_id = p.gl_account_id
left join mapped as m
  on m.division = s.division and m.scheme = s.scheme and m.gl_account_id = p.gl_account_id
where m.gl_account_id is null

-- Postings on revenue accounts, by the month of the entry. These are lines, not documents: postings
-- without an invoice count, and nothing counts twice.
select
  p.division,
  d.division_name,
  d.currency,
  {{ exact_month('p.entry_date') }} as month,
  p.account_id,
  a.account_code,
  coalesce(a.account_name, '(no customer)') as account_name,
  coalesce(a.consolidation_key, '(no customer)') as consolidation_key,
  count(distinct p.invoice_number) as invoices,
  -sum(p.amount) as revenue
from {{ ref('int_exact_online__postings') }} as p
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = p.division
left join {{ ref('exact_online__dim_accounts') }} as a on a.division = p.division and a.account_id = p.account_id
where p.section = 'revenue'
group by
  p.division, d.division_name, d.currency, {{ exact_month('p.entry_date') }}, p.account_id,
  a.account_code, a.account_name, a.consolidation_key

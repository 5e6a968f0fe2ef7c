-- Every posting with the balance of its account after it, as on a ledger card. Year-end postings on
-- balance sheet accounts are in the balance of later years and are not listed as postings.
with carried as (
  select p.division, p.gl_account_id, p.financial_year, sum(y.amount) as carried
  from (
    select distinct division, gl_account_id, financial_year
    from {{ ref('int_exact_online__postings') }}
  ) as p
  inner join {{ ref('int_exact_online__year_end_lines') }} as y
    on
      y.division = p.division
      and y.gl_account_id = p.gl_account_id
      and y.financial_year < p.financial_year
  group by p.division, p.gl_account_id, p.financial_year
)

select
  p.division,
  d.division_name,
  d.currency,
  p.line_id,
  p.entry_id,
  p.entry_number,
  p.line_number,
  p.line_kind,
  p.entry_type,
  p.status,
  p.entry_date,
  p.financial_year,
  p.financial_period,
  p.month,
  p.journal_code,
  p.gl_account_id,
  p.gl_account_code,
  g.gl_account_description,
  p.balance_type,
  p.section,
  p.account_id,
  a.account_code,
  a.account_name,
  p.item_id,
  p.invoice_number,
  p.your_ref,
  p.description,
  p.cost_center,
  p.cost_unit,
  p.project_id,
  p.project_code,
  p.vat_code,
  p.transaction_currency,
  p.amount_transaction_currency,
  p.debit,
  p.credit,
  p.amount,
  sum(p.amount) over (
    partition by
      p.division, p.gl_account_id, case when p.balance_type = 'W' then p.financial_year else 0 end
    order by
      p.financial_year, p.financial_period, p.entry_date, p.entry_number, p.line_number, p.line_id
    rows between unbounded preceding and current row
  ) + coalesce(c.carried, 0) as balance
from {{ ref('int_exact_online__postings') }} as p
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = p.division
left join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = p.division and g.gl_account_id = p.gl_account_id
left join {{ ref('exact_online__dim_accounts') }} as a on a.division = p.division and a.account_id = p.account_id
left join carried as c
  on
    c.division = p.division
    and c.gl_account_id = p.gl_account_id
    and c.financial_year = p.financial_year

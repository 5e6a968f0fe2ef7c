-- The lines that count, each with its ledger account: no budgets, and no entries that only carry
-- balances over a year end (these models do that themselves).
select
  l.division,
  l.line_id,
  l.entry_id,
  l.entry_number,
  l.line_number,
  l.line_kind,
  l.entry_type,
  l.status,
  l.entry_date,
  l.due_date,
  l.financial_year,
  l.financial_period,
  {{ exact_month('l.entry_date') }} as month,
  l.journal_code,
  l.gl_account_id,
  g.gl_account_code,
  g.gl_account_type,
  g.balance_type,
  g.section,
  l.account_id,
  l.item_id,
  l.quantity,
  l.invoice_number,
  l.your_ref,
  l.description,
  l.offset_id,
  l.vat_code,
  l.vat_base,
  l.cost_center,
  l.cost_unit,
  l.project_id,
  l.project_code,
  l.transaction_currency,
  l.amount_transaction_currency,
  l.amount,
  case when l.amount > 0 then l.amount else 0 end as debit,
  case when l.amount < 0 then -l.amount else 0 end as credit
from {{ ref('int_exact_online__checked_lines') }} as l
left join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = l.division and g.gl_account_id = l.gl_account_id
where
  l.reason is null
  and coalesce(l.entry_type, 0) not in ({{ exact_excluded_types() }})
  {% if var('exact_processed_only', false) %} and l.status = 50 {% endif %}
  {% if var('exact_entries_until', '') %} and l.entry_date <= cast('{{ var('exact_entries_until') }}' as date) {% endif %}

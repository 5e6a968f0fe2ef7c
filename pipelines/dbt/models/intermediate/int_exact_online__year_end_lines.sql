-- Postings on balance sheet accounts of the entries that close periods and years: the result, on the
-- account that the company chose. Types: 310 period closing, 320 to 326 year end. The contra accounts
-- are profit and loss accounts, which these models close themselves. The closing balance (327) and
-- the opening balance (328) cancel each other out.
{%- set excluded = var('exact_excluded_entry_types', [310, 320, 321, 322, 323, 324, 325, 326, 327, 328, 3000]) -%}
{%- set closing = [310, 320, 321, 322, 323, 324, 325, 326] | select('in', excluded) | list %}
select
  l.division,
  l.line_id,
  l.gl_account_id,
  l.financial_year,
  l.entry_date,
  {{ exact_month('l.entry_date') }} as month,
  l.amount
from {{ ref('int_exact_online__checked_lines') }} as l
inner join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = l.division and g.gl_account_id = l.gl_account_id
where
  l.reason is null
  and l.entry_type in ({{ (closing or [-1]) | join(', ') }})
  and g.balance_type <> 'W'
  {% if var('exact_processed_only', false) %} and l.status = 50 {% endif %}
  {% if var('exact_entries_until', '') %} and l.entry_date <= cast('{{ var('exact_entries_until') }}' as date) {% endif %}

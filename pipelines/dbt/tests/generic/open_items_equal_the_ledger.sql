{#
  Open items add up to the balance of their ledger accounts, to the cent.

  side: receivable or payable.
  taken_from: ledger checks the companies whose items come from the ledger, exact those with a list of
  Exact's own.
#}
{% test open_items_equal_the_ledger(model, side, taken_from) %}
{%- set types = var('exact_' ~ side ~ '_types', [20] if side == 'receivable' else [22]) -%}
{%- set terms = 'stg_exact_online__receivables' if side == 'receivable' else 'stg_exact_online__payments' -%}
with mine as (
  select division, gl_account_id, sum(open_amount) as total
  from {{ model }} where taken_from = '{{ taken_from }}'
  group by division, gl_account_id
),

theirs as (
  select division, gl_account_id, {{ 1 if side == 'receivable' else -1 }} * sum(amount) as total
  from {{ ref('int_exact_online__postings') }}
  where
    gl_account_type in ({{ types | join(', ') }})
    and entry_date <= {{ exact_as_of() }}
    and division {{ '' if taken_from == 'exact' else 'not' }} in (
      select division from {{ ref(terms) }}
      where {{ '1 = 1' if var('exact_open_items_from', 'exact') == 'exact' else '1 = 0' }}
    )
  group by division, gl_account_id
)

select
  coalesce(m.division, t.division) as division,
  coalesce(m.gl_account_id, t.gl_account_id) as gl_account_id,
  m.total as total_here,
  t.total as total_there
from mine as m
full outer join theirs as t on t.division = m.division and t.gl_account_id = m.gl_account_id
where abs(coalesce(m.total, 0) - coalesce(t.total, 0)) >= 0.005
{% endtest %}

{#
  Movements by company, period and ledger account are the sums of all lines that count. Says anew which
  lines count, so that a mistake in the models does not hide here.
#}
{% test holds_every_posting(model) %}
with mine as (
  select division, financial_year, financial_period, gl_account_id, sum(movement) as total
  from {{ model }}
  where row_type = 'account' and (debit <> 0 or credit <> 0)
  group by division, financial_year, financial_period, gl_account_id
),

theirs as (
  select division, financial_year, financial_period, gl_account_id, sum(amount) as total
  from {{ ref('int_exact_online__checked_lines') }}
  where
    reason is null
    and coalesce(entry_type, 0) not in ({{ exact_excluded_types() }})
    {% if var('exact_processed_only', false) %} and status = 50 {% endif %}
    {% if var('exact_entries_until', '') %}
    and entry_date <= cast('{{ var('exact_entries_until') }}' as date)
    {% endif %}
  group by division, financial_year, financial_period, gl_account_id
)

select
  coalesce(m.division, t.division) as division,
  coalesce(m.gl_account_id, t.gl_account_id) as gl_account_id,
  m.total as total_here,
  t.total as total_there
from mine as m
full outer join theirs as t
  on
    t.division = m.division
    and t.financial_year = m.financial_year
    and t.financial_period = m.financial_period
    and t.gl_account_id = m.gl_account_id
where abs(coalesce(m.total, 0) - coalesce(t.total, 0)) >= 0.005
{% endtest %}

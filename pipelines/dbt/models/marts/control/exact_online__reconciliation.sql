-- Our figures beside Exact's own, wherever those are loaded: balances of periods (`reporting_balance`),
-- open items of parties (`receivables`, `payments`), VAT of quarters and months (`returns`). Every
-- row that was compared is here; a difference other than 0 means that one of the two is wrong.
with balances as (
  select
    division, financial_year, financial_period, gl_account_id,
    sum(ours) as ours, sum(theirs) as theirs
  from (
    select
      division, financial_year, financial_period, gl_account_id, amount as ours, 0 as theirs
    from {{ ref('int_exact_online__postings') }}
    where
      division in (select division from {{ ref('stg_exact_online__reporting_balance') }})
      -- The balances of Exact have no days.
      {% if var('exact_entries_until', '') %} and 1 = 0 {% endif %}

    union all

    select division, financial_year, financial_period, gl_account_id, 0 as ours, amount as theirs
    from {{ ref('stg_exact_online__reporting_balance') }}
    where
      coalesce(entry_type, 0) not in ({{ exact_excluded_types() }})
      {% if var('exact_entries_until', '') %} and 1 = 0 {% endif %}
      and status in ({{ '50' if var('exact_processed_only', false) else '20, 50' }})
  ) as both_sides
  group by division, financial_year, financial_period, gl_account_id
),

open_items as (
  {%- for terms, types, sign in [
    ('receivables', var('exact_receivable_types', [20]), 1),
    ('payments', var('exact_payable_types', [22]), -1),
  ] %}
  select
    '{{ terms }}' as compared, division, gl_account_id, account_id,
    sum(ours) as ours, sum(theirs) as theirs
  from (
    select division, gl_account_id, account_id, {{ sign }} * amount as ours, 0 as theirs
    from {{ ref('int_exact_online__postings') }}
    where
      gl_account_type in ({{ types | join(', ') }})
      and entry_date <= {{ exact_as_of() }}
      and division in (select division from {{ ref('stg_exact_online__' ~ terms) }})

    union all

    select division, gl_account_id, account_id, 0 as ours, amount as theirs
    from {{ ref('stg_exact_online__' ~ terms) }}
    where
      invoice_date <= {{ exact_as_of() }}
      and (status < 50 or end_date > {{ exact_as_of() }})
      {% if var('exact_processed_only', false) %} and coalesce(transaction_status, 50) = 50 {% endif %}
      {% if var('exact_entries_until', '') %} and invoice_date <= cast('{{ var('exact_entries_until') }}' as date) {% endif %}
  ) as both_sides
  group by division, gl_account_id, account_id
  {% if not loop.last %}union all{% endif %}
  {%- endfor %}
),

-- VAT returns are of type 1; a period is a quarter or, with frequency M, a month.
returned as (
  select
    division,
    {{ exact_first_of('calendar_year', "case when frequency = 'M' then period else 3 * period - 2 end") }} as period_start,
    case when frequency = 'M' then 1 else 3 end as months,
    sum(amount) as theirs
  from {{ ref('stg_exact_online__returns') }}
  where return_type = 1 and calendar_year is not null and period is not null and frequency in ('M', 'Q')
  group by division, calendar_year, frequency, period
),

vat as (
  select r.division, r.period_start, r.theirs, coalesce(sum(v.tax_owed_amount), 0) as ours
  from returned as r
  left join {{ ref('exact_online__vat_return') }} as v
    on
      v.division = r.division
      and v.month >= r.period_start
      and v.month < {{ exact_add_months('r.period_start', 'r.months') }}
  group by r.division, r.period_start, r.months, r.theirs
),

compared as (
  select
    'reporting_balance' as compared, division, financial_year, financial_period,
    cast(null as date) as period_start, gl_account_id, {{ exact_string('null') }} as account_id,
    ours, theirs
  from balances

  union all

  select compared, division, null, null, null, gl_account_id, account_id, ours, theirs
  from open_items

  union all

  select 'returns', division, null, null, period_start, null, null, ours, theirs
  from vat
)

select
  c.compared,
  c.division,
  d.division_name,
  d.currency,
  c.financial_year,
  c.financial_period,
  c.period_start,
  c.gl_account_id,
  g.gl_account_code,
  c.account_id,
  a.account_name,
  c.ours as our_amount,
  c.theirs as exact_amount,
  c.ours - c.theirs as difference_amount
from compared as c
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = c.division
left join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = c.division and g.gl_account_id = c.gl_account_id
left join {{ ref('exact_online__dim_accounts') }} as a on a.division = c.division and a.account_id = c.account_id

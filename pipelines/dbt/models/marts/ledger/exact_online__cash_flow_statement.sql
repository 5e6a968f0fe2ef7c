-- Indirect method: the result, and the movements of all balances except cash. Each period adds up to
-- the change of cash. Opening balances (type 10) are not a cash flow and have a separate line.
with flows as (
  select
    division,
    financial_year,
    financial_period,
    case
      when entry_type = 10 then 'opening_balance'
      when balance_type = 'W' then 'result'
      when gl_account_type = 35 then 'depreciation'
      else section
    end as line,
    -amount as amount
  from {{ ref('int_exact_online__postings') }}
  where section <> 'cash'
),

lines as (
  {%- set lines = [
    ('opening_balance', 'Opening balance', 'opening'), ('result', 'Result', 'operating'),
    ('depreciation', 'Depreciation', 'operating'), ('inventory', 'Change in inventory', 'operating'),
    ('receivables', 'Change in receivables', 'operating'),
    ('other_assets', 'Change in other assets', 'operating'),
    ('payables', 'Change in payables', 'operating'),
    ('prepayments', 'Change in prepayments of customers', 'operating'),
    ('taxes', 'Change in taxes', 'operating'),
    ('other_liabilities', 'Change in other liabilities', 'operating'),
    ('fixed_assets', 'Fixed assets', 'investing'),
    ('long_term_debt', 'Long term debt', 'financing'), ('equity', 'Equity', 'financing'),
  ] %}
  {%- for line, name, activity in lines %}
  select '{{ line }}' as line, '{{ name }}' as line_name, '{{ activity }}' as activity, {{ loop.index }} as line_order
  {%- if not loop.last %} union all {% endif %}
  {%- endfor %}
)

select
  f.division,
  d.division_name,
  d.currency,
  f.financial_year,
  f.financial_period,
  p.period_start,
  p.period_end,
  l.activity,
  f.line,
  l.line_name,
  l.line_order,
  sum(f.amount) as amount
from flows as f
inner join lines as l on l.line = f.line
inner join {{ ref('exact_online__periods') }} as p
  on
    p.division = f.division
    and p.financial_year = f.financial_year
    and p.financial_period = f.financial_period
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = f.division
group by
  f.division, d.division_name, d.currency, f.financial_year, f.financial_period, p.period_start,
  p.period_end, l.activity, f.line, l.line_name, l.line_order

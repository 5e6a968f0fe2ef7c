-- Balances by calendar month of the entry date, so that companies with different financial years can
-- be added up. Every company has every month from its own first to the last of all companies.
with last_month as (
  select greatest(max(month), {{ exact_month(exact_as_of()) }}) as month
  from {{ ref('int_exact_online__postings') }}
),

first_month as (
  select division, min(month) as month
  from {{ ref('int_exact_online__postings') }}
  group by division
),

months as (
  select
    f.division,
    {{ exact_add_months('f.month', '(12 * y.n + m.n)') }} as month,
    l.month as last_month
  from first_month as f
  cross join last_month as l
  cross join ({{ exact_numbers(60) }}) as y
  cross join ({{ exact_numbers(12) }}) as m
),

slots as (
  select
    division,
    {{ exact_year('month') }} as year_number,
    cast(extract(month from month) as integer) as slot_number
  from months
  where month <= last_month
),

movements as (
  select
    division,
    gl_account_id,
    {{ exact_year('month') }} as year_number,
    cast(extract(month from month) as integer) as slot_number,
    sum(debit) as debit,
    sum(credit) as credit
  from {{ ref('int_exact_online__postings') }}
  group by division, gl_account_id, month
),

carried_months as (
  select division, gl_account_id, {{ exact_add_months('month', '1') }} as month, amount
  from {{ ref('int_exact_online__year_end_lines') }}
),

carried as (
  select
    division,
    gl_account_id,
    {{ exact_year('month') }} as year_number,
    cast(extract(month from month) as integer) as slot_number,
    sum(amount) as amount
  from carried_months
  group by division, gl_account_id, month
),

used as (
  select division, gl_account_id from movements
  union distinct
  select division, gl_account_id from carried
),

{{ exact_balances() }}

select
  c.division,
  {{ exact_first_of('c.year_number', 'c.slot_number') }} as month,
  c.row_type,
  c.gl_account_id,
  c.balance_type,
  c.opening_balance,
  c.debit,
  c.credit,
  c.movement,
  c.closing_balance
from compared as c

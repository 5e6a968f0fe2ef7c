-- Balances by financial period, of every account in every period, even if they are zero.
with slots as (
  select
    division,
    financial_year as year_number,
    financial_period as slot_number,
    index_in_year
  from {{ ref('exact_online__periods') }}
),

movements as (
  select
    division,
    gl_account_id,
    financial_year as year_number,
    financial_period as slot_number,
    sum(debit) as debit,
    sum(credit) as credit
  from {{ ref('int_exact_online__postings') }}
  group by division, gl_account_id, financial_year, financial_period
),

carried as (
  select l.division, l.gl_account_id, s.year_number, s.slot_number, sum(l.amount) as amount
  from {{ ref('int_exact_online__year_end_lines') }} as l
  inner join slots as s
    on s.division = l.division and s.year_number = l.financial_year + 1 and s.index_in_year = 1
  group by l.division, l.gl_account_id, s.year_number, s.slot_number
),

used as (
  select division, gl_account_id from movements
  union distinct
  select division, gl_account_id from carried
  union distinct
  select division, gl_account_id from {{ ref('int_exact_online__budget') }}
),

{{ exact_balances() }}

select
  c.division,
  c.year_number as financial_year,
  c.slot_number as financial_period,
  p.period_start,
  p.period_end,
  c.row_type,
  c.gl_account_id,
  c.balance_type,
  c.opening_balance,
  c.debit,
  c.credit,
  c.movement,
  c.closing_balance,
  coalesce(c.movement_prior_period, 0) as movement_prior_period,
  coalesce(c.balance_prior_period, 0) as balance_prior_period,
  coalesce(y.movement, 0) as movement_prior_year,
  coalesce(y.closing_balance, 0) as balance_prior_year,
  coalesce(b.amount, 0) as budget,
  coalesce(sum(b.amount) over (
    partition by c.division, c.row_type, c.gl_account_id, c.year_number
    order by c.slot_number
    rows between unbounded preceding and current row
  ), 0) as budget_year_to_date
from compared as c
inner join {{ ref('exact_online__periods') }} as p
  on
    p.division = c.division
    and p.financial_year = c.year_number
    and p.financial_period = c.slot_number
left join compared as y
  on
    y.division = c.division
    and y.row_type = c.row_type
    and coalesce(y.gl_account_id, '') = coalesce(c.gl_account_id, '')
    and y.year_number = c.year_number - 1
    and y.slot_number = c.slot_number
left join (
  select division, gl_account_id, financial_year, financial_period, sum(amount) as amount
  from {{ ref('int_exact_online__budget') }}
  group by division, gl_account_id, financial_year, financial_period
) as b
  on
    b.division = c.division
    and b.gl_account_id = c.gl_account_id
    and b.financial_year = c.year_number
    and b.financial_period = c.slot_number

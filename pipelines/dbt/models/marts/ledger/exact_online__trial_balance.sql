-- Per company, period and ledger account: what it opened with, what was booked, what it closes with.
-- Accounts without postings in a period keep their balance in it. Profit and loss accounts begin
-- each year with nothing; what they held goes to one row, the result of earlier years. So opening,
-- movement and closing of each company and period add up to zero.
with movements as (
  select
    division,
    gl_account_id,
    financial_year,
    financial_period,
    sum(debit) as debit,
    sum(credit) as credit
  from {{ ref('int_exact_online__postings') }}
  group by division, gl_account_id, financial_year, financial_period
),

-- The periods of all companies: who has nothing booked in one has balances all the same.
periods as (
  select distinct financial_year, financial_period from movements
),

used as (
  select distinct division, gl_account_id from movements
),

grid as (
  select
    u.division,
    u.gl_account_id,
    g.balance_type,
    p.financial_year,
    p.financial_period,
    coalesce(m.debit, 0) as debit,
    coalesce(m.credit, 0) as credit,
    -- What a balance is carried within: profit and loss within a year, the rest forever.
    case when g.balance_type = 'W' then p.financial_year else 0 end as carried_within
  from used as u
  cross join periods as p
  inner join {{ ref('exact_online__dim_gl_accounts') }} as g
    on g.division = u.division and g.gl_account_id = u.gl_account_id
  left join movements as m
    on
      m.division = u.division
      and m.gl_account_id = u.gl_account_id
      and m.financial_year = p.financial_year
      and m.financial_period = p.financial_period
),

balances as (
  select
    *,
    sum(debit - credit) over (
      partition by division, gl_account_id, carried_within
      order by financial_year, financial_period
      rows between unbounded preceding and current row
    ) as closing_balance
  from grid
),

results as (
  select
    division,
    financial_year,
    sum(debit - credit) as result
  from grid
  where balance_type = 'W'
  group by division, financial_year
),

earlier_results as (
  select
    p.division,
    p.financial_year,
    p.financial_period,
    sum(r.result) as balance
  from (select distinct division, financial_year, financial_period from grid) as p
  inner join results as r on r.division = p.division and r.financial_year < p.financial_year
  group by p.division, p.financial_year, p.financial_period
),

combined as (
  select
    b.division,
    b.financial_year,
    b.financial_period,
    'account' as row_type,
    b.gl_account_id,
    g.gl_account_code,
    g.gl_account_description,
    g.gl_account_type,
    g.balance_type,
    g.section,
    b.closing_balance - b.debit + b.credit as opening_balance,
    b.debit,
    b.credit,
    b.closing_balance
  from balances as b
  inner join {{ ref('exact_online__dim_gl_accounts') }} as g
    on g.division = b.division and g.gl_account_id = b.gl_account_id
  where b.closing_balance <> 0 or b.debit <> 0 or b.credit <> 0

  union all

  select
    division,
    financial_year,
    financial_period,
    'earlier result' as row_type,
    null as gl_account_id,
    '(earlier result)' as gl_account_code,
    'Result of earlier years' as gl_account_description,
    null as gl_account_type,
    'B' as balance_type,
    'equity' as section,
    balance as opening_balance,
    0 as debit,
    0 as credit,
    balance as closing_balance
  from earlier_results
  where balance <> 0
)

select
  c.division,
  d.division_name,
  d.currency,
  c.financial_year,
  c.financial_period,
  c.row_type,
  c.gl_account_id,
  c.gl_account_code,
  c.gl_account_description,
  c.gl_account_type,
  c.balance_type,
  c.section,
  c.opening_balance,
  c.debit,
  c.credit,
  c.debit - c.credit as movement,
  c.closing_balance
from combined as c
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = c.division

{#
  Opening balance, movement and closing balance of each ledger account of each company, slot by slot,
  without gaps. Slots are financial periods or calendar months. Profit and loss accounts begin each
  year at zero; their balance goes to one row, the result of earlier years, unless year-end entries
  post it to an account (`carried`). Opening, movement and closing of each company and slot thus add
  up to zero.

  The caller has defined `slots` (division, year, slot), `movements` (division, gl_account_id, year,
  slot, debit, credit), `carried` (division, gl_account_id, year, slot, amount) and `used` (division,
  gl_account_id); year and slot are ordered as numbers.
#}
{% macro exact_balances() -%}
grid as (
  select
    u.division,
    u.gl_account_id,
    g.balance_type,
    s.year_number,
    s.slot_number,
    coalesce(m.debit, 0) as debit,
    coalesce(m.credit, 0) as credit,
    coalesce(c.amount, 0) as carried,
    -- Within which a balance is carried over: profit and loss within a year, the rest without limit.
    case when g.balance_type = 'W' then s.year_number else 0 end as carried_within
  from used as u
  inner join slots as s on s.division = u.division
  inner join {{ ref('exact_online__dim_gl_accounts') }} as g
    on g.division = u.division and g.gl_account_id = u.gl_account_id
  left join movements as m
    on
      m.division = u.division
      and m.gl_account_id = u.gl_account_id
      and m.year_number = s.year_number
      and m.slot_number = s.slot_number
  left join carried as c
    on
      c.division = u.division
      and c.gl_account_id = u.gl_account_id
      and c.year_number = s.year_number
      and c.slot_number = s.slot_number
),

closed as (
  select
    *,
    sum(carried + debit - credit) over (
      partition by division, gl_account_id, carried_within
      order by year_number, slot_number
      rows between unbounded preceding and current row
    ) as closing_balance
  from grid
),

results as (
  select
    division,
    year_number,
    slot_number,
    sum(case when balance_type = 'W' then debit - credit else 0 end) as result,
    sum(carried) as carried
  from grid
  group by division, year_number, slot_number
),

running as (
  select
    division,
    year_number,
    slot_number,
    sum(result) over (
      partition by division order by year_number, slot_number
      rows between unbounded preceding and current row
    ) as result,
    sum(result) over (
      partition by division, year_number order by slot_number
      rows between unbounded preceding and current row
    ) as result_of_year,
    sum(carried) over (
      partition by division order by year_number, slot_number
      rows between unbounded preceding and current row
    ) as carried
  from results
),

combined as (
  select
    division,
    year_number,
    slot_number,
    'account' as row_type,
    gl_account_id,
    balance_type,
    closing_balance - debit + credit as opening_balance,
    debit,
    credit,
    closing_balance
  from closed

  union all

  select
    division,
    year_number,
    slot_number,
    'earlier result' as row_type,
    null as gl_account_id,
    'B' as balance_type,
    result - result_of_year - carried as opening_balance,
    0 as debit,
    0 as credit,
    result - result_of_year - carried as closing_balance
  from running
),

compared as (
  select
    c.*,
    c.debit - c.credit as movement,
    lag(c.debit - c.credit) over (
      partition by c.division, c.row_type, c.gl_account_id order by c.year_number, c.slot_number
    ) as movement_prior_period,
    lag(c.closing_balance) over (
      partition by c.division, c.row_type, c.gl_account_id order by c.year_number, c.slot_number
    ) as balance_prior_period
  from combined as c
)
{%- endmacro %}

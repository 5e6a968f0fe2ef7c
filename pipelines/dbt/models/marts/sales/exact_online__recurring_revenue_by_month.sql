-- Monthly revenue of each customer's subscriptions: recurring lines (type 1), spread evenly over the
-- months from their first to their last day, while they are active and not cancelled. That the amount
-- of a line covers all its months is true of the sandbox but unproven for Exact Online.
with lines as (
  select
    l.division,
    s.account_id,
    s.account_name,
    l.subscription_id,
    l.amount,
    {{ exact_month('l.from_date') }} as first_month,
    {{ exact_month('l.to_date') }} as last_month,
    {{ exact_month('coalesce(s.cancellation_date, l.to_date)') }} as cancelled_month,
    12 * ({{ exact_year('l.to_date') }} - {{ exact_year('l.from_date') }})
      + cast(extract(month from l.to_date) as integer)
      - cast(extract(month from l.from_date) as integer) + 1 as months
  from {{ ref('stg_exact_online__subscription_lines') }} as l
  inner join {{ ref('stg_exact_online__subscriptions') }} as s
    on s.division = l.division and s.subscription_id = l.subscription_id
  where l.line_type = 1 and l.from_date is not null and l.to_date is not null
),

spread as (
  select l.*, {{ exact_add_months('l.first_month', '(12 * y.n + m.n)') }} as month
  from lines as l
  cross join ({{ exact_numbers(30) }}) as y
  cross join ({{ exact_numbers(12) }}) as m
)

select
  s.division,
  d.division_name,
  d.currency,
  s.month,
  s.account_id,
  coalesce(a.account_name, s.account_name, '(no customer)') as account_name,
  count(distinct s.subscription_id) as subscriptions,
  sum({{ exact_amount('round(s.amount / s.months, 2)') }}) as recurring_revenue
from spread as s
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = s.division
left join {{ ref('exact_online__dim_accounts') }} as a
  on a.division = s.division and a.account_id = s.account_id
where
  s.month <= s.last_month
  and s.month <= s.cancelled_month
  and s.month <= {{ exact_month(exact_as_of()) }}
group by
  s.division, d.division_name, d.currency, s.month, s.account_id,
  coalesce(a.account_name, s.account_name, '(no customer)')

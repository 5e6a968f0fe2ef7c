-- Hours and costs recorded on projects, and their postings in the ledger, by month. Types of
-- transactions: 1 time, 2 cost.
with written as (
  select
    division,
    project_id,
    {{ exact_month('entry_date') }} as month,
    max(project_code) as project_code,
    sum(case when transaction_type = 1 then quantity else 0 end) as hours,
    sum(case when transaction_type = 1 then amount else 0 end) as time_amount,
    sum(case when transaction_type = 2 then amount else 0 end) as cost_amount
  from {{ ref('stg_exact_online__time_cost_transactions') }}
  where project_id is not null
  group by division, project_id, {{ exact_month('entry_date') }}
),

booked as (
  select
    division,
    project_id,
    month,
    max(project_code) as project_code,
    sum(case when section = 'revenue' then -amount else 0 end) as revenue,
    sum(case when section <> 'revenue' then amount else 0 end) as booked_cost
  from {{ ref('int_exact_online__postings') }}
  where project_id is not null and balance_type = 'W'
  group by division, project_id, month
)

select
  d.division,
  d.division_name,
  d.currency,
  coalesce(w.month, b.month) as month,
  coalesce(w.project_id, b.project_id) as project_id,
  coalesce(w.project_code, b.project_code) as project_code,
  coalesce(w.hours, 0) as hours,
  coalesce(w.time_amount, 0) as time_amount,
  coalesce(w.cost_amount, 0) as cost_amount,
  coalesce(b.revenue, 0) as revenue,
  coalesce(b.booked_cost, 0) as booked_cost
from written as w
full outer join booked as b
  on b.division = w.division and b.project_id = w.project_id and b.month = w.month
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = coalesce(w.division, b.division)

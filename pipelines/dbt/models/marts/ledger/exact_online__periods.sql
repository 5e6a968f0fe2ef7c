-- The financial periods of each company, from the first with a posting to the last with one or the
-- one that contains `exact_as_of`, without gaps. Their dates come from `financial_periods`; a year
-- that is missing there is assumed to be the calendar year, with months as periods.
with posted as (
  select
    division,
    financial_year,
    financial_period,
    min(entry_date) as first_date,
    max(entry_date) as last_date
  from {{ ref('int_exact_online__postings') }}
  group by division, financial_year, financial_period
),

bounds as (
  select
    division,
    min(financial_year) as first_year,
    greatest(max(financial_year), {{ exact_year(exact_as_of()) }}) as last_year,
    min(financial_year * 1000 + financial_period) as first_key,
    max(financial_year * 1000 + financial_period) as last_key
  from posted
  group by division
),

listed as (
  select division, financial_year, financial_period, period_start, period_end
  from {{ ref('stg_exact_online__financial_periods') }}
  where period_start is not null and period_end is not null
),

newest as (
  select division, max(financial_year) as last_year from listed group by division
),

listed_years as (
  select distinct division, financial_year from listed
),

months as (
  select
    b.division,
    b.first_year + y.n as financial_year,
    m.n + 1 as financial_period,
    {{ exact_first_of('b.first_year + y.n', 'm.n + 1') }} as period_start,
    {{ exact_month_end(exact_first_of('b.first_year + y.n', 'm.n + 1')) }} as period_end
  from bounds as b
  cross join ({{ exact_numbers(60) }}) as y
  cross join ({{ exact_numbers(12) }}) as m
  left join newest as w on w.division = b.division
  left join listed_years as l
    on l.division = b.division and l.financial_year = b.first_year + y.n
  where
    b.first_year + y.n <= b.last_year
    -- A company whose list is loaded has no other years, except those before the list.
    and l.division is null
    and (w.division is null or b.first_year + y.n < w.last_year)
),

known as (
  select division, financial_year, financial_period, period_start, period_end, false as is_assumed
  from listed
  union all
  select division, financial_year, financial_period, period_start, period_end, true as is_assumed
  from months
),

complete as (
  select
    coalesce(k.division, p.division) as division,
    coalesce(k.financial_year, p.financial_year) as financial_year,
    coalesce(k.financial_period, p.financial_period) as financial_period,
    coalesce(k.period_start, p.first_date) as period_start,
    coalesce(k.period_end, p.last_date) as period_end,
    coalesce(k.is_assumed, true) as is_assumed,
    p.division is not null as has_postings
  from known as k
  full outer join posted as p
    on
      p.division = k.division
      and p.financial_year = k.financial_year
      and p.financial_period = k.financial_period
)

select
  c.division,
  c.financial_year,
  c.financial_period,
  c.period_start,
  c.period_end,
  c.is_assumed,
  c.has_postings,
  row_number() over (
    partition by c.division order by c.financial_year, c.financial_period
  ) as period_index,
  row_number() over (
    partition by c.division, c.financial_year order by c.financial_period
  ) as index_in_year
from complete as c
inner join bounds as b on b.division = c.division
where
  c.financial_year * 1000 + c.financial_period >= b.first_key
  and (
    c.financial_year * 1000 + c.financial_period <= b.last_key
    or c.period_start <= {{ exact_as_of() }}
  )

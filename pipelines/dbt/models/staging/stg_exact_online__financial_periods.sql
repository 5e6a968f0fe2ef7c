-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('fin_year', 'number'),
  ('fin_period', 'number'),
  ('start_date', 'moment'),
  ('end_date', 'moment'),
] %}
select
  division,
  cast(fin_year as integer) as financial_year,
  cast(fin_period as integer) as financial_period,
  {{ exact_date('start_date') }} as period_start,
  {{ exact_date('end_date') }} as period_end
from {{ exact_table('financial_periods', columns) }} as t
where _deleted_at is null

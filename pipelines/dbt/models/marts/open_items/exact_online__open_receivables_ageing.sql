{{ config(materialized='view') }}

select
  division,
  division_name,
  currency,
  account_id,
  account_code,
  account_name,
  as_of,
  count(*) as items,
  min(due_date) as oldest_due_date,
  {{ exact_ageing_columns() }}
from {{ ref('exact_online__open_receivables') }}
group by division, division_name, currency, account_id, account_code, account_name, as_of

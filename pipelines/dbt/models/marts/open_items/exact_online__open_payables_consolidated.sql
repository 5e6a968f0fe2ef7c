{{ config(materialized='view') }}

select
  currency,
  consolidation_key,
  max(account_name) as account_name,
  as_of,
  count(distinct division) as divisions,
  count(*) as items,
  min(due_date) as oldest_due_date,
  {{ exact_ageing_columns() }}
from {{ ref('exact_online__open_payables') }}
group by currency, consolidation_key, as_of

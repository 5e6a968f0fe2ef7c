{{ config(materialized='view') }}

select
  currency,
  month,
  consolidation_key,
  max(account_name) as account_name,
  count(distinct division) as divisions,
  sum(invoices) as invoices,
  sum(revenue) as revenue
from {{ ref('exact_online__revenue_by_customer_month') }}
group by currency, month, consolidation_key

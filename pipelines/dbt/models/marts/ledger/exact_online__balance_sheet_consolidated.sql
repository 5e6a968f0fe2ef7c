{{ config(materialized='view') }}

select
  currency,
  financial_year,
  financial_period,
  side,
  section,
  section_name,
  section_order,
  gl_account_code,
  max(gl_account_description) as gl_account_description,
  count(distinct division) as divisions,
  sum(balance) as balance,
  sum(amount) as amount
from {{ ref('exact_online__balance_sheet') }}
group by
  currency, financial_year, financial_period, side, section, section_name, section_order,
  gl_account_code

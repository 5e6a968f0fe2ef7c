{{ config(materialized='view') }}

select
  currency,
  financial_year,
  financial_period,
  section,
  section_name,
  section_order,
  gl_account_code,
  max(gl_account_description) as gl_account_description,
  count(distinct division) as divisions,
  sum(amount) as amount,
  sum(amount_year_to_date) as amount_year_to_date
from {{ ref('exact_online__profit_and_loss') }}
group by
  currency, financial_year, financial_period, section, section_name, section_order, gl_account_code

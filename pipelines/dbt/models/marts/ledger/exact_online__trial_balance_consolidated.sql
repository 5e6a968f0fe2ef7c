{{ config(materialized='view') }}

select
  currency,
  financial_year,
  financial_period,
  gl_account_code,
  section,
  max(gl_account_description) as gl_account_description,
  max(balance_type) as balance_type,
  count(distinct division) as divisions,
  sum(opening_balance) as opening_balance,
  sum(debit) as debit,
  sum(credit) as credit,
  sum(movement) as movement,
  sum(closing_balance) as closing_balance
from {{ ref('exact_online__trial_balance') }}
group by currency, financial_year, financial_period, gl_account_code, section

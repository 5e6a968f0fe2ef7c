{{ config(materialized='view') }}

-- Every line with the reason why it is not counted, if there is one. Such a line excludes its whole
-- entry, so that debit still equals credit. Status: 5 rejected, 20 open (a draft), 50 processed.
with judged as (
  select
    *,
    case
      when status = 5 then 'rejected'
      when status is null or status not in (20, 50) then 'unknown status'
      when gl_account_id is null then 'no ledger account'
      when entry_date is null or financial_year is null or financial_period is null then 'no period'
      when amount is null then 'no amount'
    end as own_reason
  from {{ ref('stg_exact_online__transaction_lines') }}
)

select
  j.*,
  max(own_reason) over (partition by division, coalesce(entry_id, line_id)) as reason
from judged as j

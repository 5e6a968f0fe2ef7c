-- One row: which sync and which day the tables of this schema show. Built last, because it names
-- them all; `exact-source report` reads them only while no later sync has loaded anything.
-- depends_on: {{ ref('trial_balance') }}
-- depends_on: {{ ref('general_ledger') }}
-- depends_on: {{ ref('profit_and_loss') }}
-- depends_on: {{ ref('balance_sheet') }}
-- depends_on: {{ ref('open_receivables') }}
-- depends_on: {{ ref('open_payables') }}
-- depends_on: {{ ref('revenue_by_customer_month') }}
-- depends_on: {{ ref('revenue_by_item_month') }}
select
  current_timestamp as built_at,
  {{ exact_as_of() }} as as_of,
  max(ended_at) as last_sync_at
from {{ ref('stg_exact__syncs') }}

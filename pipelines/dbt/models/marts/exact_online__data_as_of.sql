-- One row: which loads, which day and which settings the tables of this schema show. Built last,
-- because it names them all; `exact-source report` reads them only while no later load has arrived.
-- depends_on: {{ ref('exact_online__trial_balance') }}
-- depends_on: {{ ref('exact_online__general_ledger') }}
-- depends_on: {{ ref('exact_online__profit_and_loss') }}
-- depends_on: {{ ref('exact_online__balance_sheet') }}
-- depends_on: {{ ref('exact_online__open_receivables') }}
-- depends_on: {{ ref('exact_online__open_payables') }}
-- depends_on: {{ ref('exact_online__revenue_by_customer_month') }}
-- depends_on: {{ ref('exact_online__revenue_by_item_month') }}
-- depends_on: {{ ref('exact_online__order_backlog') }}
-- depends_on: {{ ref('exact_online__stock_value') }}
select
  current_timestamp as built_at,
  {{ exact_as_of() }} as as_of,
  syncs,
  last_sync_at,
  '{{ exact_settings() }}' as settings
from {{ ref('stg_exact_online__loaded_until') }}

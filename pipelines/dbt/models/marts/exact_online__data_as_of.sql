-- One row: the loads, the day and the settings of the tables in this schema. It is built last, because
-- it refers to all of them; `exact-source report` reads the tables only if there is no later load.
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

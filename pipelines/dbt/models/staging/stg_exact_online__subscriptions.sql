-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('entry_id', 'text'),
  ('number', 'number'),
  ('ordered_by', 'text'),
  ('ordered_by_name', 'text'),
  ('cancellation_date', 'moment'),
] %}
select
  division,
  entry_id as subscription_id,
  {{ adapter.quote('number') }} as subscription_number,
  {{ exact_key('ordered_by') }} as account_id,
  {{ exact_text('ordered_by_name') }} as account_name,
  {{ exact_date('cancellation_date') }} as cancellation_date
from {{ exact_table('subscriptions', columns) }} as t
where _deleted_at is null

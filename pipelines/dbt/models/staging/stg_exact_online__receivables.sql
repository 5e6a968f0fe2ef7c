-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('gl_account', 'text'),
  ('account', 'text'),
  ('invoice_number', 'number'),
  ('your_ref', 'text'),
  ('invoice_date', 'moment'),
  ('due_date', 'moment'),
  ('end_date', 'moment'),
  ('status', 'number'),
  ('amount_dc', 'amount'),
  ('amount_fc', 'amount'),
  ('currency', 'text'),
  ('transaction_amount_dc', 'amount'),
  ('transaction_type', 'number'),
  ('transaction_status', 'number'),
] %}
select
  division,
  id as term_id,
  {{ exact_key('gl_account') }} as gl_account_id,
  {{ exact_key('account') }} as account_id,
  nullif(invoice_number, 0) as invoice_number,
  {{ exact_text('your_ref') }} as your_ref,
  {{ exact_date('invoice_date') }} as invoice_date,
  {{ exact_date('due_date') }} as due_date,
  {{ exact_date('end_date') }} as end_date,
  cast(status as integer) as status,
  transaction_type as entry_type,
  cast(transaction_status as integer) as transaction_status,
  {{ exact_amount('amount_dc') }} as amount,
  {{ exact_text('currency') }} as transaction_currency,
  {{ exact_amount('amount_fc') }} as amount_transaction_currency
from {{ exact_table('receivables', columns) }} as t
where _deleted_at is null

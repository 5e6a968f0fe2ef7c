-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('code', 'text'),
  ('description', 'text'),
  ('percentage', 'amount'),
  ('vat_transaction_type', 'text'),
  ('charged', 'flag'),
  ('eu_sales_listing', 'text'),
  ('gl_to_pay', 'text'),
  ('gl_to_claim', 'text'),
] %}
select
  division,
  id as vat_code_id,
  {{ exact_text('code') }} as vat_code,
  {{ exact_text('description') }} as vat_code_description,
  {{ exact_amount('percentage') }} as percentage,
  {{ exact_text('vat_transaction_type') }} as transaction_type,
  coalesce(charged, false) as is_charged,
  {{ exact_text('eu_sales_listing') }} as eu_sales_listing,
  {{ exact_key('gl_to_pay') }} as gl_account_to_pay,
  {{ exact_key('gl_to_claim') }} as gl_account_to_claim
from {{ exact_table('vat_codes', columns) }} as t
where _deleted_at is null

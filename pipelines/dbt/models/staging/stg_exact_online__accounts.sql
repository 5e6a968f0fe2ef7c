-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('code', 'text'),
  ('name', 'text'),
  ('city', 'text'),
  ('country', 'text'),
  ('vat_number', 'text'),
  ('chamber_of_commerce', 'text'),
  ('is_sales', 'flag'),
  ('is_supplier', 'flag'),
  ('blocked', 'flag'),
] %}
select
  division,
  id as account_id,
  {{ exact_text('code') }} as account_code,
  {{ exact_text('name') }} as account_name,
  {{ exact_text('city') }} as city,
  {{ exact_text('country') }} as country,
  {{ exact_text('vat_number') }} as vat_number,
  {{ exact_text('chamber_of_commerce') }} as chamber_of_commerce,
  coalesce(is_sales, false) as is_customer,
  coalesce(is_supplier, false) as is_supplier,
  coalesce(blocked, false) as is_blocked
from {{ exact_table('accounts', columns) }} as t
where _deleted_at is null

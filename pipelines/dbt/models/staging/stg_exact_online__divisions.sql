-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('code', 'number'),
  ('description', 'text'),
  ('currency', 'text'),
  ('country', 'text'),
  ('vat_number', 'text'),
  ('chamber_of_commerce_number', 'text'),
] %}
select
  code as division,
  {{ exact_text('description') }} as division_name,
  {{ exact_text('currency') }} as currency,
  {{ exact_text('country') }} as country,
  {{ exact_text('vat_number') }} as vat_number,
  {{ exact_text('chamber_of_commerce_number') }} as chamber_of_commerce
from {{ exact_table('divisions', columns) }} as t
where _deleted_at is null

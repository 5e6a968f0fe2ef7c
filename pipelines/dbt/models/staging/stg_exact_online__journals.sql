-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('code', 'text'),
  ('description', 'text'),
  ('type', 'number'),
] %}
select
  division,
  id as journal_id,
  {{ exact_text('code') }} as journal_code,
  {{ exact_text('description') }} as journal_description,
  type as journal_type
from {{ exact_table('journals', columns) }} as t
where _deleted_at is null

-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('code', 'text'),
  ('description', 'text'),
  ('parent', 'text'),
] %}
select
  division,
  id as classification_id,
  {{ exact_text('code') }} as classification_code,
  {{ exact_text('description') }} as classification_description,
  {{ exact_key('parent') }} as parent_id
from {{ exact_table('gl_classifications', columns) }} as t
where _deleted_at is null

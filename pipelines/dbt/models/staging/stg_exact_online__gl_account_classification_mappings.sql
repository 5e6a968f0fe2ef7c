-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('id', 'text'),
  ('gl_account', 'text'),
  ('classification', 'text'),
  ('classification_code', 'text'),
  ('classification_description', 'text'),
  ('gl_scheme_code', 'text'),
] %}
select
  division,
  id as mapping_id,
  {{ exact_key('gl_account') }} as gl_account_id,
  {{ exact_key('classification') }} as classification_id,
  {{ exact_text('classification_code') }} as classification_code,
  {{ exact_text('classification_description') }} as classification_description,
  {{ exact_text('gl_scheme_code') }} as scheme
from {{ exact_table('gl_account_classification_mappings', columns) }} as t
where _deleted_at is null

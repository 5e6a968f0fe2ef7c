-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
{%- set columns = [
  ('division', 'number'),
  ('document_id', 'text'),
  ('year', 'number'),
  ('period', 'number'),
  ('frequency', 'text'),
  ('type', 'number'),
  ('status', 'number'),
  ('amount', 'amount'),
  ('subject', 'text'),
] %}
select
  division,
  document_id as return_id,
  cast({{ adapter.quote('year') }} as integer) as calendar_year,
  cast(period as integer) as period,
  {{ exact_text('frequency') }} as frequency,
  type as return_type,
  cast(status as integer) as status,
  {{ exact_text('subject') }} as subject,
  {{ exact_amount('amount') }} as amount
from {{ exact_table('returns', columns) }} as t
where _deleted_at is null

-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
select
  code as division,
  {{ exact_text('description') }} as division_name,
  {{ exact_text('currency') }} as currency,
  {{ exact_text('country') }} as country
from {{ source('exact_online', 'divisions') }}
where _deleted_at is null

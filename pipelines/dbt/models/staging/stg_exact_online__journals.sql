-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
select
  division,
  id as journal_id,
  {{ exact_text('code') }} as journal_code,
  {{ exact_text('description') }} as journal_description,
  type as journal_type
from {{ source('exact_online', 'journals') }}
where _deleted_at is null

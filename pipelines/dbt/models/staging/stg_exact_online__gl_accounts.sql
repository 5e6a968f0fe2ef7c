-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
select
  division,
  id as gl_account_id,
  {{ exact_text('code') }} as gl_account_code,
  {{ exact_text('description') }} as gl_account_description,
  type as gl_account_type,
  {{ exact_text('balance_type') }} as balance_type,
  {{ exact_text('balance_side') }} as balance_side
from {{ source('exact_online', 'gl_accounts') }}
where _deleted_at is null

-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
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
  coalesce(is_supplier, false) as is_supplier
from {{ source('exact_online', 'accounts') }}
where _deleted_at is null

-- The box of the Dutch VAT return for each VAT code: from the user's own model with vat_code and box
-- (`exact_vat_boxes_from`), otherwise from the rate and kind of the code. Exact's API has no boxes.
select
  v.division,
  v.vat_code,
  v.vat_code_description,
  v.percentage,
  v.gl_account_to_pay,
  v.gl_account_to_claim,
  coalesce(
    {%- if var('exact_vat_boxes_from', '') %}
    (
      select max(o.box) from {{ ref(var('exact_vat_boxes_from')) }} as o
      where {{ exact_string('o.vat_code') }} = v.vat_code
    ),
    {%- endif %}
    case
      when v.transaction_type = 'P' and v.is_charged and v.eu_sales_listing in ('L', 'S', 'T') then '4b'
      when v.transaction_type = 'P' and v.is_charged then '2a'
      when v.transaction_type = 'P' then '5b'
      when v.percentage >= 0.15 then '1a'
      when v.percentage > 0 then '1b'
      when v.eu_sales_listing in ('L', 'S', 'T') then '3b'
      else '1e'
    end
  ) as box,
  case when v.transaction_type = 'P' then 1 else -1 end as turnover_sign
from {{ ref('stg_exact_online__vat_codes') }} as v

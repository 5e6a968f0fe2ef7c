-- depends_on: {{ ref('stg_exact_online__loaded_until') }}
-- One row per posting, whatever its line number. In this table (TransactionLines) line 0 is the
-- posting on the header's account (the debtor, the bank), 9999 what Exact adds by itself (VAT,
-- rounding); Exact documents lines 0 and up, and 9999 was seen in real entries (API 4.4). That they
-- are parts of the entry, without which debit would not equal credit, is no word of Exact's: a test
-- of this package holds it for each entry. Line 0 repeats the other lines only in the combined feeds
-- of sales invoices and purchase orders, which are not read.
select
  division,
  id as line_id,
  {{ exact_key('entry_id') }} as entry_id,
  entry_number,
  line_number,
  case line_number when 0 then 'header' when 9999 then 'automatic' else 'line' end as line_kind,
  type as entry_type,
  cast(status as integer) as status,
  {{ exact_date('date') }} as entry_date,
  {{ exact_date('due_date') }} as due_date,
  cast(financial_year as integer) as financial_year,
  cast(financial_period as integer) as financial_period,
  {{ exact_text('journal_code') }} as journal_code,
  {{ exact_key('gl_account') }} as gl_account_id,
  {{ exact_text('gl_account_code') }} as gl_account_code,
  {{ exact_text('gl_account_description') }} as gl_account_description,
  {{ exact_key('account') }} as account_id,
  {{ exact_text('account_code') }} as account_code,
  {{ exact_text('account_name') }} as account_name,
  {{ exact_key('item') }} as item_id,
  {{ exact_text('item_code') }} as item_code,
  {{ exact_text('item_description') }} as item_description,
  {{ exact_amount('quantity') }} as quantity,
  nullif(invoice_number, 0) as invoice_number,
  {{ exact_text('your_ref') }} as your_ref,
  {{ exact_text('description') }} as description,
  {{ exact_key('offset_id') }} as offset_id,
  {{ exact_amount('amount_dc') }} as amount,
  {{ exact_text('currency') }} as transaction_currency,
  {{ exact_amount('amount_fc') }} as amount_transaction_currency,
  {{ exact_text('vat_code') }} as vat_code,
  {{ exact_amount('amount_vat_base_fc') }} as vat_base,
  {{ exact_text('cost_center') }} as cost_center,
  {{ exact_text('cost_unit') }} as cost_unit,
  {{ exact_key('project') }} as project_id,
  {{ exact_text('project_code') }} as project_code
from {{ source('exact_online', 'transaction_lines') }}
where _deleted_at is null

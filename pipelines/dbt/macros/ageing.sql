{# Name of the age group of an open item. #}
{% macro exact_ageing_bucket(days) -%}
  case
    when {{ days }} <= 0 then 'not due'
    when {{ days }} <= 30 then '1-30'
    when {{ days }} <= 60 then '31-60'
    when {{ days }} <= 90 then '61-90'
    else 'over 90'
  end
{%- endmacro %}

{# Sums per age group, a column each, and the total. #}
{% macro exact_ageing_columns() -%}
  sum(open_amount) as open_amount,
  sum(case when ageing_bucket = 'not due' then open_amount else 0 end) as not_due,
  sum(case when ageing_bucket = '1-30' then open_amount else 0 end) as overdue_1_30,
  sum(case when ageing_bucket = '31-60' then open_amount else 0 end) as overdue_31_60,
  sum(case when ageing_bucket = '61-90' then open_amount else 0 end) as overdue_61_90,
  sum(case when ageing_bucket = 'over 90' then open_amount else 0 end) as overdue_over_90
{%- endmacro %}

{#
  Open items of the ledger accounts of some types: the lines of each item add up to what is open.

  An item is an invoice with what was paid on it. A line belongs to the item of its invoice number,
  else to that of the line it was matched with, else it is an item of its own (a payment on account).
  Every line falls into exactly one item, so the items add up to the ledger.

  An item is as old as its invoice, and of several terms as the first that is not paid: payments settle
  them in the order in which they are due. What is booked on it later (a collection that the bank takes
  back, what is paid out on a credit note) makes it no younger. Types of entries that are invoices: 10
  opening balance, 20 and 30 invoice, 21 and 31 credit note.

  sign: 1 for receivables, -1 for payables, so that what is owed is positive.
#}
{% macro exact_open_items(account_types, sign) -%}
with lines as (
  select
    p.division, p.line_id, p.gl_account_id, p.account_id, p.invoice_number, p.offset_id,
    p.entry_date, p.due_date, p.your_ref,
    {{ sign }} * p.amount as amount,
    coalesce(p.entry_type, 0) in (10, 20, 21, 30, 31) as is_invoice
  from {{ ref('int_exact_online__postings') }} as p
  where
    p.gl_account_type in ({{ account_types | join(', ') }})
    and p.entry_date <= {{ exact_as_of() }}
),

keyed as (
  select
    l.*,
    coalesce(l.invoice_number, matched.invoice_number) as item_invoice_number,
    case
      when coalesce(l.invoice_number, matched.invoice_number) is not null
        then {{ exact_string('coalesce(l.invoice_number, matched.invoice_number)') }}
      -- Two lines that name each other need one name for both.
      when matched.offset_id = l.line_id then least(l.line_id, matched.line_id)
      else coalesce(matched.line_id, l.line_id)
    end as item_key
  from lines as l
  left join lines as matched
    on
      matched.division = l.division
      and matched.line_id = l.offset_id
      and matched.gl_account_id = l.gl_account_id
),

totalled as (
  select
    k.*,
    sum(amount) over (partition by division, gl_account_id, account_id, item_key) as open_amount,
    sum(case when is_invoice and amount > 0 then amount else 0 end) over (
      partition by division, gl_account_id, account_id, item_key
    ) as invoiced,
    sum(case when is_invoice and amount > 0 then amount else 0 end) over (
      partition by division, gl_account_id, account_id, item_key
      order by coalesce(due_date, entry_date), line_id
      rows between unbounded preceding and current row
    ) as invoiced_so_far
  from keyed as k
),

items as (
  select
    division,
    gl_account_id,
    account_id,
    item_key,
    max(item_invoice_number) as invoice_number,
    max(case when amount > 0 then your_ref end) as your_ref,
    coalesce(
      min(case when is_invoice then entry_date end),
      min(case when amount > 0 then entry_date end),
      min(entry_date)
    ) as invoice_date,
    coalesce(
      min(case
        when is_invoice and amount > 0 and invoiced_so_far > invoiced - open_amount
          then coalesce(due_date, entry_date)
      end),
      max(case when is_invoice then due_date end),
      max(case when amount > 0 then due_date end),
      max(due_date),
      min(case when amount > 0 then entry_date end),
      min(entry_date)
    ) as due_date,
    sum(case when amount > 0 then amount else 0 end) as invoiced_amount,
    -sum(case when amount < 0 then amount else 0 end) as settled_amount,
    sum(amount) as open_amount
  from totalled
  group by division, gl_account_id, account_id, item_key
)

select
  i.division,
  d.division_name,
  d.currency,
  i.gl_account_id,
  g.gl_account_code,
  i.account_id,
  a.account_code,
  coalesce(a.account_name, '(no account)') as account_name,
  coalesce(a.consolidation_key, '(no account)') as consolidation_key,
  i.item_key,
  i.invoice_number,
  i.your_ref,
  i.invoice_date,
  i.due_date,
  i.invoiced_amount,
  i.settled_amount,
  i.open_amount,
  {{ exact_as_of() }} as as_of,
  {{ exact_days('i.due_date', exact_as_of()) }} as days_overdue,
  {{ exact_ageing_bucket(exact_days('i.due_date', exact_as_of())) }} as ageing_bucket
from items as i
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = i.division
left join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = i.division and g.gl_account_id = i.gl_account_id
left join {{ ref('exact_online__dim_accounts') }} as a on a.division = i.division and a.account_id = i.account_id
where i.open_amount <> 0
{%- endmacro %}

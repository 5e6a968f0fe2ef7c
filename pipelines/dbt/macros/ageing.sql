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

{# Sums per age group, one column each, and the total. #}
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

  A line belongs to the item of the line that it was matched with (`offset_id`), whatever numbers the
  two have; else to that of its invoice number; else it is an item of its own (a payment on account).
  So a credit note that was matched with an invoice lessens it. A revaluation or an exchange rate
  difference (types 80 to 83) that names neither belongs to the one item of its party that was open in
  its currency on its day; else those of a party and a currency are an item together. Every line falls
  into exactly one item, so the items add up to the ledger.

  An item is as old as its invoice, and of several terms as the first that is not paid: payments settle
  them in the order in which they are due. What is booked on it later (a collection that the bank takes
  back, what is paid out on a credit note) makes it no younger. Types of entries that are invoices: 10
  opening balance, 20 and 30 invoice, 21 and 31 credit note.

  Where Exact's own list is loaded for a company (`receivables`, `payments`), its terms are the open
  items instead, matched as Exact matched them; `exact_open_items_from: ledger` leaves them out.

  sign: 1 for receivables, -1 for payables, so that what is owed is positive.
#}
{% macro exact_open_items(account_types, sign, terms) -%}
with lines as (
  select
    p.division, p.line_id, p.gl_account_id, p.account_id, p.invoice_number, p.offset_id,
    p.entry_date, p.due_date, p.your_ref, p.transaction_currency,
    coalesce(p.account_id, '') as party,
    {{ sign }} * p.amount as amount,
    {{ sign }} * coalesce(p.amount_transaction_currency, p.amount) as amount_fc,
    coalesce(p.entry_type, 0) in (10, 20, 21, 30, 31) as is_invoice,
    coalesce(p.entry_type, 0) in (80, 81, 82, 83) as is_revaluation
  from {{ ref('int_exact_online__postings') }} as p
  where
    p.gl_account_type in ({{ account_types | join(', ') }})
    and p.entry_date <= {{ exact_as_of() }}
),

-- The line with which each was matched. If two lines refer to each other, the invoice stands for
-- both, or without an invoice the one with the lower guid.
matched as (
  select
    l.division,
    l.line_id,
    m.line_id as parent_id
  from lines as l
  inner join lines as m
    on
      m.division = l.division
      and m.line_id = l.offset_id
      and m.line_id <> l.line_id
      and m.gl_account_id = l.gl_account_id
      and m.party = l.party
  where not (
    coalesce(m.offset_id, '') = l.line_id
    and (
      (l.is_invoice and not m.is_invoice)
      or (l.is_invoice = m.is_invoice and l.line_id < m.line_id)
    )
  )
),

-- A payment of a credit note on an invoice belongs to the invoice. Four steps are enough in practice.
rooted as (
  select
    l.*,
    coalesce(d.parent_id, c.parent_id, b.parent_id, a.parent_id, l.line_id) as root_id
  from lines as l
  left join matched as a on a.division = l.division and a.line_id = l.line_id
  left join matched as b on b.division = l.division and b.line_id = a.parent_id
  left join matched as c on c.division = l.division and c.line_id = b.parent_id
  left join matched as d on d.division = l.division and d.line_id = c.parent_id
),

numbered as (
  select
    l.*,
    r.invoice_number as item_invoice_number,
    coalesce({{ exact_string('r.invoice_number') }}, r.line_id) as own_key
  from rooted as l
  inner join lines as r on r.division = l.division and r.line_id = l.root_id
),

stray as (
  select * from numbered
  where is_revaluation and root_id = line_id and item_invoice_number is null
),

-- The item of an unmatched revaluation, if only one was open in its currency on its day.
homes as (
  select
    division,
    line_id,
    case when count(*) = 1 then max(own_key) end as home_key,
    case when count(*) = 1 then max(item_invoice_number) end as home_invoice_number
  from (
    select s.division, s.line_id, n.own_key, max(n.item_invoice_number) as item_invoice_number
    from stray as s
    inner join numbered as n
      on
        n.division = s.division
        and n.gl_account_id = s.gl_account_id
        and n.party = s.party
        and n.transaction_currency = s.transaction_currency
        and n.entry_date <= s.entry_date
        and not (n.is_revaluation and n.root_id = n.line_id and n.item_invoice_number is null)
    group by s.division, s.line_id, n.own_key
    having sum(n.amount_fc) <> 0
  ) as open_then
  group by division, line_id
),

keyed as (
  select
    n.*,
    case
      when s.line_id is null then n.own_key
      else coalesce(h.home_key, concat('revaluation ', coalesce(n.transaction_currency, '')))
    end as item_key,
    coalesce(h.home_invoice_number, n.item_invoice_number) as number_of_item
  from numbered as n
  left join stray as s on s.division = n.division and s.line_id = n.line_id
  left join homes as h on h.division = n.division and h.line_id = n.line_id
),

totalled as (
  select
    k.*,
    sum(amount) over (partition by division, gl_account_id, party, item_key) as open_amount,
    sum(case when is_invoice and amount > 0 then amount else 0 end) over (
      partition by division, gl_account_id, party, item_key
    ) as invoiced,
    sum(case when is_invoice and amount > 0 then amount else 0 end) over (
      partition by division, gl_account_id, party, item_key
      order by coalesce(due_date, entry_date), line_id
      rows between unbounded preceding and current row
    ) as invoiced_so_far
  from keyed as k
),

from_ledger as (
  select
    division,
    gl_account_id,
    account_id,
    item_key,
    max(number_of_item) as invoice_number,
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
    sum(amount) as open_amount,
    coalesce(
      max(case when is_invoice then transaction_currency end), max(transaction_currency)
    ) as transaction_currency,
    sum(amount_fc) as open_amount_transaction_currency,
    'ledger' as taken_from
  from totalled
  group by division, gl_account_id, account_id, item_key
  having sum(amount) <> 0
),

-- The companies whose list is loaded.
listed as (
  select distinct division
  from {{ ref(terms) }}
  where {{ 'true' if var('exact_open_items_from', 'exact') == 'exact' else 'false' }}
),

from_exact as (
  select
    division,
    gl_account_id,
    account_id,
    term_id as item_key,
    invoice_number,
    your_ref,
    invoice_date,
    coalesce(due_date, invoice_date) as due_date,
    case when amount > 0 then amount else 0 end as invoiced_amount,
    case when amount < 0 then -amount else 0 end as settled_amount,
    amount as open_amount,
    transaction_currency,
    amount_transaction_currency as open_amount_transaction_currency,
    'exact' as taken_from
  from {{ ref(terms) }}
  where
    division in (select division from listed)
    and invoice_date <= {{ exact_as_of() }}
    {% if var('exact_processed_only', false) %} and coalesce(transaction_status, 50) = 50 {% endif %}
    {% if var('exact_entries_until', '') %} and invoice_date <= cast('{{ var('exact_entries_until') }}' as date) {% endif %}
    -- Status 50 means matched, since its end date.
    and (status < 50 or end_date > {{ exact_as_of() }})
    and amount <> 0
    and gl_account_id is not null
),

items as (
  select * from from_exact
  union all
  select * from from_ledger where division not in (select division from listed)
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
  coalesce(i.transaction_currency, d.currency) as transaction_currency,
  i.open_amount_transaction_currency,
  i.taken_from,
  {{ exact_as_of() }} as as_of,
  {{ exact_days('i.due_date', exact_as_of()) }} as days_overdue,
  {{ exact_ageing_bucket(exact_days('i.due_date', exact_as_of())) }} as ageing_bucket
from items as i
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = i.division
left join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = i.division and g.gl_account_id = i.gl_account_id
left join {{ ref('exact_online__dim_accounts') }} as a on a.division = i.division and a.account_id = i.account_id
{%- endmacro %}

-- Turnover and tax by company, calendar month, VAT code and box, by the day of the entry. Opening
-- balances (type 10), the returns themselves (type 50) and bank payments on them (type 40 without a
-- code) are left out. Tax to pay minus tax to claim equals the movement of the VAT accounts (type 24).
with lines as (
  select
    p.division,
    p.month,
    p.vat_code,
    b.vat_code_description,
    b.box,
    p.gl_account_type,
    p.amount,
    p.vat_base,
    coalesce(b.turnover_sign, -1) as turnover_sign,
    case
      when p.gl_account_id = b.gl_account_to_pay then false
      when p.gl_account_id = b.gl_account_to_claim then true
      else coalesce(g.balance_side, 'C') = 'D'
    end as is_claim
  from {{ ref('int_exact_online__postings') }} as p
  inner join {{ ref('exact_online__dim_gl_accounts') }} as g
    on g.division = p.division and g.gl_account_id = p.gl_account_id
  left join {{ ref('int_exact_online__vat_boxes') }} as b
    on b.division = p.division and b.vat_code = p.vat_code
  where
    coalesce(p.entry_type, 0) not in (10, 50)
    and (
      (p.gl_account_type = 24 and (coalesce(p.entry_type, 0) <> 40 or p.vat_code is not null))
      or (p.gl_account_type <> 24 and p.vat_code is not null)
    )
)

select
  l.division,
  d.division_name,
  d.currency,
  l.month,
  {{ exact_quarter('l.month') }} as quarter_start,
  coalesce(l.vat_code, '(none)') as vat_code,
  max(l.vat_code_description) as vat_code_description,
  coalesce(l.box, '(none)') as box,
  -- For a partly deductible code, the base amount that Exact has on the taxed line.
  sum(
    case when l.gl_account_type <> 24 then l.turnover_sign * coalesce(l.vat_base, l.amount) else 0 end
  ) as turnover_amount,
  sum(case when l.gl_account_type = 24 and not l.is_claim then -l.amount else 0 end) as tax_to_pay_amount,
  sum(case when l.gl_account_type = 24 and l.is_claim then l.amount else 0 end) as tax_to_claim_amount,
  sum(case when l.gl_account_type = 24 then -l.amount else 0 end) as tax_owed_amount
from lines as l
inner join {{ ref('exact_online__dim_divisions') }} as d on d.division = l.division
group by
  l.division, d.division_name, d.currency, l.month, coalesce(l.vat_code, '(none)'),
  coalesce(l.box, '(none)')

-- The budget of one scenario: `exact_budget_scenario`, otherwise each company's first scenario by code.
-- Amounts have the sign of the ledger; this is true of the sandbox but unproven for Exact Online.
with first_scenario as (
  select division, min(scenario) as scenario
  from {{ ref('stg_exact_online__budgets') }}
  group by division
)

select
  b.division,
  b.gl_account_id,
  b.financial_year,
  b.financial_period,
  b.cost_center,
  b.cost_unit,
  sum(b.amount) as amount
from {{ ref('stg_exact_online__budgets') }} as b
inner join first_scenario as f on f.division = b.division
inner join {{ ref('exact_online__dim_gl_accounts') }} as g
  on g.division = b.division and g.gl_account_id = b.gl_account_id
where
  {% if var('exact_budget_scenario', '') %} b.scenario = '{{ var('exact_budget_scenario') }}'
  {% else %} b.scenario = f.scenario
  {% endif %}
group by
  b.division, b.gl_account_id, b.financial_year, b.financial_period, b.cost_center, b.cost_unit

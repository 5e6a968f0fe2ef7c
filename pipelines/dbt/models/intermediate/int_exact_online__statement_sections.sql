{{ config(materialized='view') }}

-- The sections of the balance sheet and of the profit and loss account, in their order.
{%- set sections = [
  ('fixed_assets', 'Fixed assets', 'B', 'assets'), ('inventory', 'Inventory', 'B', 'assets'),
  ('receivables', 'Receivables', 'B', 'assets'), ('other_assets', 'Other assets', 'B', 'assets'),
  ('cash', 'Cash and bank', 'B', 'assets'),
  ('equity', 'Equity', 'B', 'liabilities'), ('long_term_debt', 'Long term debt', 'B', 'liabilities'),
  ('payables', 'Payables', 'B', 'liabilities'),
  ('prepayments', 'Prepayments of customers', 'B', 'liabilities'), ('taxes', 'Taxes', 'B', 'liabilities'),
  ('other_liabilities', 'Other liabilities', 'B', 'liabilities'),
  ('revenue', 'Revenue', 'W', 'result'), ('cost_of_goods', 'Cost of goods', 'W', 'result'),
  ('personnel', 'Personnel', 'W', 'result'),
  ('operating_costs', 'Operating costs', 'W', 'result'),
  ('depreciation', 'Depreciation', 'W', 'result'), ('interest', 'Interest', 'W', 'result'),
  ('other_result', 'Other result', 'W', 'result'), ('exceptional', 'Exceptional', 'W', 'result'),
  ('income_taxes', 'Income taxes', 'W', 'result'),
] %}
{% for section, name, balance_type, side in sections %}
select
  '{{ section }}' as section, '{{ name }}' as section_name, '{{ balance_type }}' as balance_type,
  '{{ side }}' as side, {{ loop.index }} as section_order
{%- if not loop.last %} union all {% endif %}
{%- endfor %}

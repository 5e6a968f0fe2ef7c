{{ config(materialized='view') }}

-- The section of the statements for each type of ledger account, by Exact's number (GLAccounts.Type).
{%- set types = [
  (10, 'Cash', 'B', 'cash'), (12, 'Bank', 'B', 'cash'), (14, 'Credit card', 'B', 'cash'),
  (16, 'Payment services', 'B', 'cash'),
  (20, 'Accounts receivable', 'B', 'receivables'),
  (21, 'Prepayment accounts receivable', 'B', 'prepayments'),
  (22, 'Accounts payable', 'B', 'payables'),
  (24, 'VAT', 'B', 'taxes'), (25, 'Employees payable', 'B', 'other_liabilities'),
  (26, 'Prepaid expenses', 'B', 'other_assets'), (27, 'Accrued expenses', 'B', 'other_liabilities'),
  (29, 'Income taxes payable', 'B', 'taxes'),
  (30, 'Fixed assets', 'B', 'fixed_assets'), (32, 'Other assets', 'B', 'other_assets'),
  (35, 'Accumulated depreciation', 'B', 'fixed_assets'),
  (40, 'Inventory', 'B', 'inventory'),
  (50, 'Capital stock', 'B', 'equity'), (52, 'Retained earnings', 'B', 'equity'),
  (55, 'Long term debt', 'B', 'long_term_debt'),
  (60, 'Current portion of debt', 'B', 'other_liabilities'),
  (100, 'Tax payable', 'B', 'taxes'),
  (110, 'Revenue', 'W', 'revenue'), (111, 'Cost of goods', 'W', 'cost_of_goods'),
  (120, 'Other costs', 'W', 'operating_costs'),
  (121, 'Sales, general and administrative expenses', 'W', 'operating_costs'),
  (122, 'Depreciation costs', 'W', 'depreciation'),
  (123, 'Research and development', 'W', 'operating_costs'),
  (125, 'Employee costs', 'W', 'personnel'), (126, 'Employment costs', 'W', 'personnel'),
  (130, 'Exceptional costs', 'W', 'exceptional'), (140, 'Exceptional income', 'W', 'exceptional'),
  (150, 'Income taxes', 'W', 'income_taxes'), (160, 'Interest income', 'W', 'interest'),
  (300, 'Year end reflection', 'W', 'other_result'), (301, 'Indirect year end costing', 'W', 'other_result'),
  (302, 'Direct year end costing', 'W', 'other_result'),
] %}
{% for number, name, balance_type, section in types %}
select
  {{ number }} as gl_account_type, '{{ name }}' as gl_account_type_name,
  '{{ balance_type }}' as balance_type, '{{ section }}' as section
{%- if not loop.last %} union all {% endif %}
{%- endfor %}

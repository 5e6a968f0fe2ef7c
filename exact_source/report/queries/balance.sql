select currency, side, section, section_name, section_order, sum(amount)
from {{ ref('exact_online__balance_sheet') }}
where financial_year = {{ year }} and financial_period = {{ period }} {{ only }}
group by currency, side, section, section_name, section_order
order by section_order

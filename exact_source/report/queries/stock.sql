select currency, sum(stock_value), count(*)
from {{ ref('stock_value') }}
-- A company without entries is not on the page.
where division in (select division from {{ ref('dim_divisions') }} where has_postings) {{ only }}
group by currency

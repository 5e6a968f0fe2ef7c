select currency, sum(stock_value), count(*)
from {{ ref('exact_online__stock_value') }}
-- A company without entries is not on the page.
where division in (select division from {{ ref('exact_online__dim_divisions') }} where has_postings) {{ only }}
group by currency

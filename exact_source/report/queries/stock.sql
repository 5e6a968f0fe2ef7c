select currency, sum(stock_value), count(*)
from {{ ref('stock_value') }}
where true {{ only }}
group by currency

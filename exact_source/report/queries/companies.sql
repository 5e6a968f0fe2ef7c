select division, division_name, currency
from {{ ref('dim_divisions') }}
where has_postings {{ only }}
order by division

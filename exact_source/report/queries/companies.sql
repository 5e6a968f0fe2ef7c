select division, division_name, currency
from {{ ref('exact_online__dim_divisions') }}
where has_postings {{ only }}
order by division

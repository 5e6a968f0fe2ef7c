-- The last period with an entry up to the day of the report.
select max(financial_year * 1000 + financial_period)
from {{ ref('int_exact_online__postings') }}
where entry_date <= {{ day }} {{ only }}

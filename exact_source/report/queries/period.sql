-- The month of the last entry up to the day of the report. By the calendar: companies with other
-- financial years stand side by side on the page.
select max(month)
from {{ ref('int_exact_online__postings') }}
where entry_date <= {{ day }} {{ only }}

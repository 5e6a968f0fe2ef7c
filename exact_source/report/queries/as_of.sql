-- One row if the tables that dbt built show this day, all loads and no entry after the day.
select b.as_of
from {{ built('exact_online__data_as_of') }} as b
cross join (select count(*) as syncs, max(ended_at) as last_sync_at from {{ syncs }}) as s
where
  b.as_of = {{ exact_as_of() }}
  and b.settings = '{{ exact_settings() }}'
  and b.syncs = s.syncs
  and b.last_sync_at = s.last_sync_at
  and not exists (
    select 1 from {{ built('int_exact_online__postings') }} as p where p.entry_date > {{ exact_as_of() }}
  )

-- Lines that do not count because something in their entry is not known, and those of rejected
-- entries.
select
  division,
  line_id,
  entry_id,
  entry_number,
  line_number,
  status,
  entry_date,
  journal_code,
  gl_account_code,
  amount,
  own_reason,
  reason
from {{ ref('int_exact_online__checked_lines') }}
where reason is not null

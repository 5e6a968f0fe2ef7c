select b.as_of, b.last_sync_at, s.last_sync_at
from {{ built }} as b
cross join (select max(ended_at) as last_sync_at from {{ syncs }}) as s

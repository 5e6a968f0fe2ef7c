{{ config(materialized='table') }}

-- Which loads the other models can have read: all that had arrived before the first of them was
-- built. What arrives meanwhile may be in some of them and not in others, so it does not count.
-- Every staging model names this one, which makes it the first.
select
  count(*) as syncs,
  max(ended_at) as last_sync_at
from {{ source('exact_online', '_exact_syncs') }}

-- Each ledger account with its classifications in each scheme; level 1 is the top.
{%- set steps = 6 %}
with chains as (
  select
    m.division,
    coalesce(m.scheme, '(no scheme)') as scheme,
    m.gl_account_id,
    coalesce(c0.classification_code, m.classification_code) as code_0,
    coalesce(c0.classification_description, m.classification_description) as description_0
    {%- for n in range(1, steps) %},
    c{{ n }}.classification_code as code_{{ n }},
    c{{ n }}.classification_description as description_{{ n }}
    {%- endfor %}
  from {{ ref('stg_exact_online__gl_account_classification_mappings') }} as m
  left join {{ ref('stg_exact_online__gl_classifications') }} as c0
    on c0.division = m.division and c0.classification_id = m.classification_id
  {%- for n in range(1, steps) %}
  left join {{ ref('stg_exact_online__gl_classifications') }} as c{{ n }}
    on c{{ n }}.division = m.division and c{{ n }}.classification_id = c{{ n - 1 }}.parent_id
  {%- endfor %}
),

measured as (
  select
    c.*,
    {% for n in range(steps) %} case when code_{{ n }} is null then 0 else 1 end {{- ' +' if not loop.last }} {%- endfor %} as depth
  from chains as c
)

{% for n in range(steps) -%}
select
  division,
  scheme,
  gl_account_id,
  depth - {{ n }} as level,
  code_{{ n }} as classification_code,
  description_{{ n }} as classification_description
from measured
where code_{{ n }} is not null
{% if not loop.last %}union all
{% endif %}
{%- endfor %}

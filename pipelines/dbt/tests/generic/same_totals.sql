{# An expression adds up to the same, to the cent, as another over another table, group by group. #}
{% test same_totals(model, expression, by, to, to_expression, where="1 = 1", to_where="1 = 1") %}
with mine as (
  select {{ by | join(', ') }}, sum({{ expression }}) as total
  from {{ model }} where {{ where }}
  group by {{ by | join(', ') }}
),

theirs as (
  select {{ by | join(', ') }}, sum({{ to_expression }}) as total
  from {{ to }} where {{ to_where }}
  group by {{ by | join(', ') }}
)

select
  {% for column in by %} coalesce(m.{{ column }}, t.{{ column }}) as {{ column }}, {% endfor %}
  m.total as total_here,
  t.total as total_there
from mine as m
full outer join theirs as t
  on {% for column in by %} t.{{ column }} = m.{{ column }} {{- ' and ' if not loop.last }} {% endfor %}
where abs(coalesce(m.total, 0) - coalesce(t.total, 0)) >= 0.005
{% endtest %}

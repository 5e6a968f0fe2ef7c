{#
  Every row whose last of `columns` is not null has its counterpart in another table; with
  `unless_empty` not if that table has no rows, because it was not loaded.
#}
{% test found_in(model, columns, to, to_columns, unless_empty=false) %}
select m.*
from {{ model }} as m
left join {{ to }} as t
  on {% for mine in columns -%}
    t.{{ to_columns[loop.index0] }} = m.{{ mine }} {{- ' and ' if not loop.last }}
  {%- endfor %}
where
  m.{{ columns | last }} is not null
  and t.{{ to_columns | last }} is null
  {% if unless_empty %} and exists (select 1 from {{ to }}) {% endif %}
{% endtest %}

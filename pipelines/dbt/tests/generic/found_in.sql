{# Every row whose last of `columns` is not null has its counterpart in another table. #}
{% test found_in(model, columns, to, to_columns) %}
select m.*
from {{ model }} as m
left join {{ to }} as t
  on {% for mine in columns -%}
    t.{{ to_columns[loop.index0] }} = m.{{ mine }} {{- ' and ' if not loop.last }}
  {%- endfor %}
where m.{{ columns | last }} is not null and t.{{ to_columns | last }} is null
{% endtest %}

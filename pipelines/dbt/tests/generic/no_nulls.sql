{# None of these columns has a null; one query for all of them. #}
{% test no_nulls(model, columns) %}
select *
from {{ model }}
where {% for column in columns -%} {{ column }} is null {{- ' or ' if not loop.last }} {% endfor %}
{% endtest %}

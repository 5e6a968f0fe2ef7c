{# Within each group a column adds up to zero, to the cent. #}
{% test sums_to_zero(model, column_name, by) %}
select {{ by | join(', ') }}, sum({{ column_name }}) as difference
from {{ model }}
group by {{ by | join(', ') }}
having abs(sum({{ column_name }})) >= 0.005
{% endtest %}

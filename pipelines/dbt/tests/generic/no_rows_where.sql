{# No row meets a condition. #}
{% test no_rows_where(model, condition) %}
select * from {{ model }} where {{ condition }}
{% endtest %}

{#
  A table of the source, or one with the same columns and no rows where it was not loaded or
  `exact_without` names it. Each column is given as a pair of its name and a kind of `exact_type`.
#}
{% macro exact_table(table, columns) -%}
{%- if exact_is_loaded(table) -%}
{{ source('exact_online', table) }}
{%- else -%}
(
  select
    {%- for name, kind in columns %}
    cast(null as {{ exact_type(kind) }}) as {{ name }},
    {%- endfor %}
    cast(null as timestamp) as _deleted_at
  from (select 1 as one) as nothing
  where 1 = 0
)
{%- endif -%}
{%- endmacro %}

{% macro exact_type(kind) -%} {{ adapter.dispatch('exact_type', 'exact_online')(kind) }} {%- endmacro %}
{% macro default__exact_type(kind) -%}
  {{ {'text': 'varchar', 'number': 'bigint', 'amount': 'numeric(38, 9)', 'moment': 'timestamp', 'flag': 'boolean'}[kind] }}
{%- endmacro %}
{% macro bigquery__exact_type(kind) -%}
  {{ {'text': 'string', 'number': 'int64', 'amount': 'numeric', 'moment': 'timestamp', 'flag': 'bool'}[kind] }}
{%- endmacro %}

{#
  Whether a table of the source can be read. `exact-source report` has a function of its own in this
  place, so nothing else stands in this file.
#}
{% macro exact_is_loaded(table) -%}
  {%- if table in var('exact_without', []) -%} {{ return(false) }} {%- endif -%}
  {%- set relation = source('exact_online', table) -%}
  {%- if not execute -%} {{ return(true) }} {%- endif -%}
  {{ return(adapter.get_relation(
    database=relation.database, schema=relation.schema, identifier=relation.identifier
  ) is not none) }}
{%- endmacro %}

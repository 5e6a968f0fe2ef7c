{#
  As a project of its own the package builds in the schema of the profile. As a package of another
  project it builds in that project's schema with `_exact_online` behind it, which is dbt's own way
  with `+schema`; this macro is not looked at then.
#}
{% macro generate_schema_name(custom_schema_name, node) -%} {{ target.schema }} {%- endmacro %}

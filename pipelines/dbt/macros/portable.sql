{#
  What DuckDB, Postgres and BigQuery spell differently, and how Exact's values are cleaned.

  Only ref, source, var, config, adapter.dispatch, adapter.quote and these macros are used in the
  models: `exact-source report` renders the same files without dbt.
#}

{# An amount as an exact decimal; a float would lose cents. #}
{% macro exact_amount(column) -%}
  {{ adapter.dispatch('exact_amount', 'exact_online')(column) }}
{%- endmacro %}
{% macro default__exact_amount(column) -%} cast({{ column }} as numeric(38, 9)) {%- endmacro %}
{# BigQuery's numeric always has these digits, and a cast must not state them. #}
{% macro bigquery__exact_amount(column) -%} cast({{ column }} as numeric) {%- endmacro %}

{# The date that Exact shows. It is a wall-clock time without a zone, so nothing is converted. #}
{% macro exact_date(column) -%}
  cast({{ column }} as date)
{%- endmacro %}

{# A code or a name without the spaces with which Exact pads it; empty becomes null. #}
{% macro exact_text(column) -%}
  nullif(trim({{ column }}), '')
{%- endmacro %}

{# A reference to another row; Exact also uses the all-zero guid for "none". #}
{% macro exact_key(column) -%}
  nullif({{ column }}, '00000000-0000-0000-0000-000000000000')
{%- endmacro %}

{# A VAT or register number without separators. #}
{% macro exact_plain_number(column) -%}
  replace(replace(replace(replace(upper({{ column }}), '.', ''), ' ', ''), '-', ''), '/', '')
{%- endmacro %}

{% macro exact_string(expression) -%}
  {{ adapter.dispatch('exact_string', 'exact_online')(expression) }}
{%- endmacro %}
{% macro default__exact_string(expression) -%} cast({{ expression }} as varchar) {%- endmacro %}
{% macro bigquery__exact_string(expression) -%} cast({{ expression }} as string) {%- endmacro %}

{# The first day of a date's month. #}
{% macro exact_month(date) -%}
  {{ adapter.dispatch('exact_month', 'exact_online')(date) }}
{%- endmacro %}
{% macro default__exact_month(date) -%} cast(date_trunc('month', {{ date }}) as date) {%- endmacro %}
{% macro bigquery__exact_month(date) -%} date_trunc({{ date }}, month) {%- endmacro %}

{# The date some months later. #}
{% macro exact_add_months(date, months) -%}
  {{ adapter.dispatch('exact_add_months', 'exact_online')(date, months) }}
{%- endmacro %}
{% macro default__exact_add_months(date, months) -%}
  cast({{ date }} + {{ months }} * interval '1 month' as date)
{%- endmacro %}
{% macro bigquery__exact_add_months(date, months) -%}
  date_add({{ date }}, interval {{ months }} month)
{%- endmacro %}

{# The last day of a date's month. #}
{% macro exact_month_end(date) -%}
  {{ adapter.dispatch('exact_month_end', 'exact_online')(date) }}
{%- endmacro %}
{% macro default__exact_month_end(date) -%}
  cast({{ exact_month(date) }} + interval '1 month' - interval '1 day' as date)
{%- endmacro %}
{% macro bigquery__exact_month_end(date) -%} last_day({{ date }}, month) {%- endmacro %}

{# The first day of a date's calendar quarter. #}
{% macro exact_quarter(date) -%}
  {{ adapter.dispatch('exact_quarter', 'exact_online')(date) }}
{%- endmacro %}
{% macro default__exact_quarter(date) -%} cast(date_trunc('quarter', {{ date }}) as date) {%- endmacro %}
{% macro bigquery__exact_quarter(date) -%} date_trunc({{ date }}, quarter) {%- endmacro %}

{# The first day of a month, from two numbers. #}
{% macro exact_first_of(year, month) -%}
  {{ adapter.dispatch('exact_first_of', 'exact_online')(year, month) }}
{%- endmacro %}
{% macro default__exact_first_of(year, month) -%}
  make_date(cast({{ year }} as integer), cast({{ month }} as integer), 1)
{%- endmacro %}
{% macro bigquery__exact_first_of(year, month) -%} date({{ year }}, {{ month }}, 1) {%- endmacro %}

{# The calendar year of a date, as a number. #}
{% macro exact_year(date) -%} cast(extract(year from {{ date }}) as integer) {%- endmacro %}

{# Whole numbers from 0 to one less than `count`, as a query with the column `n`. #}
{% macro exact_numbers(count) -%}
  {%- for n in range(count) %} select {{ n }} as n {{- ' union all' if not loop.last }} {%- endfor -%}
{%- endmacro %}

{# Days from one date to another. #}
{% macro exact_days(first, last) -%}
  {{ adapter.dispatch('exact_days', 'exact_online')(first, last) }}
{%- endmacro %}
{% macro default__exact_days(first, last) -%}
  cast({{ last }} - {{ first }} as integer)
{%- endmacro %}
{% macro bigquery__exact_days(first, last) -%} date_diff({{ last }}, {{ first }}, day) {%- endmacro %}

{# Whole hours since a time. #}
{% macro exact_hours_since(moment) -%}
  {{ adapter.dispatch('exact_hours_since', 'exact_online')(moment) }}
{%- endmacro %}
{% macro default__exact_hours_since(moment) -%}
  cast(floor(extract(epoch from (current_timestamp - {{ moment }})) / 3600) as integer)
{%- endmacro %}
{% macro bigquery__exact_hours_since(moment) -%}
  timestamp_diff(current_timestamp(), {{ moment }}, hour)
{%- endmacro %}

{# The UTC day of a time; Exact's daily limit is reset at its end. #}
{% macro exact_utc_day(moment) -%}
  {{ adapter.dispatch('exact_utc_day', 'exact_online')(moment) }}
{%- endmacro %}
{% macro default__exact_utc_day(moment) -%}
  cast({{ moment }} at time zone 'UTC' as date)
{%- endmacro %}
{% macro bigquery__exact_utc_day(moment) -%} date({{ moment }}, 'UTC') {%- endmacro %}

{# The day for which open items are aged. #}
{% macro exact_as_of() -%}
  {%- if var('exact_as_of', '') -%} cast('{{ var('exact_as_of') }}' as date)
  {%- else -%} current_date
  {%- endif -%}
{%- endmacro %}

{# Types of entries that do not count: they carry balances over a year end, or are budgets. #}
{% macro exact_excluded_types() -%}
  {{ var('exact_excluded_entry_types', [310, 320, 321, 322, 323, 324, 325, 326, 327, 328, 3000]) | join(', ') }}
{%- endmacro %}

{# The variables that affect the marts, as one text. #}
{% macro exact_settings() -%}
  dataset {{ var('exact_dataset', 'exact_online') }}, processed only {{ var('exact_processed_only', false) }},
  {#- #} until {{ var('exact_entries_until', '') or 'the last' }},
  {#- #} without {{ exact_excluded_types() }},
  {#- #} receivable {{ var('exact_receivable_types', [20]) | join(' ') }},
  {#- #} payable {{ var('exact_payable_types', [22]) | join(' ') }},
  {#- #} open items from {{ var('exact_open_items_from', 'exact') }},
  {#- #} without tables {{ var('exact_without', []) | join(' ') }}
{%- endmacro %}

{{ exact_open_items(var('exact_payable_types', [22]), -1, 'stg_exact_online__payments') }}

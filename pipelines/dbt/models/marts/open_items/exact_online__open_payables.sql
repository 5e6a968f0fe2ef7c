{{ exact_open_items(var('exact_payable_types', [22]), -1) }}

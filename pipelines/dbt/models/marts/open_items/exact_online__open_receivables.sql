{{ exact_open_items(var('exact_receivable_types', [20]), 1) }}

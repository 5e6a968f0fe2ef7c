{{ exact_open_items(var('exact_receivable_types', [20]), 1, 'stg_exact_online__receivables') }}

"""OData as Exact speaks it: query text out, bytes of pages in. No I/O."""

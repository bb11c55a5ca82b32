"""Moving recordings out of a source: list, fetch, settle, delete the original, and a receipt for each."""

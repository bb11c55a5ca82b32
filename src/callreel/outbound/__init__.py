"""Everything we call over HTTP, behind one guard."""

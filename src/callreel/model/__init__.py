"""What the words mean. No disk, wire, clock or database."""

"""Object stores: verbs about bytes and keys, nothing about recordings."""

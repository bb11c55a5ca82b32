"""The local disk between 'acknowledged' and 'in the bucket'."""

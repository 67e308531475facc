"""A change through the envelope beside `kubectl diff` and `kubectl apply` of the same: `midwatch bench change`."""

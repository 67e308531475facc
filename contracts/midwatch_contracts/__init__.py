"""What rooms exchange: types and pure functions, nothing that opens, waits or prints."""

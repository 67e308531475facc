"""Objects in memory, their history, and the audit of every write."""

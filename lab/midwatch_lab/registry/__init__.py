"""The one door by which objects are made, changed and removed."""

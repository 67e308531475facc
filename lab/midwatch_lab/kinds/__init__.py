"""What the lab knows of each kind: its resource, its defaults, its rules and its columns."""

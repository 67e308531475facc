"""What keeps the objects true to their specs."""

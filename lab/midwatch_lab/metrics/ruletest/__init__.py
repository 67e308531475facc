"""Rule files on trial: what is wrong with them, and promtool's unit tests of them, in virtual time."""

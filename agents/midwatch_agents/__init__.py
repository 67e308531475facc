"""The supervisor, the terminal chat and the command line's host."""

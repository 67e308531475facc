"""The engine beside its peers: `make bench-serving` measures both, on the same file, in turns."""

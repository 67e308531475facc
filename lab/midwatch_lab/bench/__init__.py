"""Benchmarks of the lab beside the originals, asked the same over HTTP in the same run."""

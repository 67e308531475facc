"""Benchmarks of the lab beside the original kube-apiserver, asked the same over HTTP in the same run."""

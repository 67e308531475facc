"""Doubles of what stands behind the servers, for tests: an API server, a Prometheus API and serving backends.

They hold what a test puts in, answer over real HTTP on loopback, and write down every request, so that a test can ask
what a tool sent. They are no cluster: for behaviour over time there is the lab.
"""

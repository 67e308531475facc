"""Loopback addresses and the balancers behind Services."""

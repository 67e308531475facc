"""What node_exporter says of a machine, from Linux's `/proc` and `/sys`; elsewhere there is nothing to read."""

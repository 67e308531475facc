"""Prometheus's script language for testing PromQL (`promqltest`), run against the lab's evaluator.

What a script says of native histograms, of start timestamps and of `load_with_nhcb` is refused by name.
"""

"""The evaluator of PromQL over floats and classic histograms, as Prometheus 3.16 answers it.

An expression is evaluated once for all steps of a query: an instant vector is a grid of series by steps, an instant
query is a grid with one column.
"""

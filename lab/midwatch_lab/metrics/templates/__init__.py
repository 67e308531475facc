"""Go's text templates as Prometheus uses them in the labels and annotations of alerting rules.

`lexer` and `parser` read a template whole, so that what Prometheus would not load is refused; `execute` fills it in.
"""

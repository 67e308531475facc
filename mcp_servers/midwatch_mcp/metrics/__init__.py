"""The metrics server, over any API that speaks as Prometheus does."""

"""The lab's metrics: scraping, a time-series store, PromQL as Prometheus 3 answers it, rules and alerts."""

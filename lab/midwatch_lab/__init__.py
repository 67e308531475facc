"""An embedded cluster to practise on: Kubernetes API, controllers, metrics, load, faults."""

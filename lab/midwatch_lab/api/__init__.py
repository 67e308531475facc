"""The HTTP face of the Kubernetes API."""

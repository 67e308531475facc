"""The patches that Kubernetes knows."""

"""What kube-state-metrics says of objects: its names, labels and values (2.15, where not noted), one file a family."""

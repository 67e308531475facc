"""Who asks, and what they may: authentication by bearer token, and role-based access control as Kubernetes has it."""

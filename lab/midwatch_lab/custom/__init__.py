"""Custom resources: what a CustomResourceDefinition says of them, and what that does to their objects."""

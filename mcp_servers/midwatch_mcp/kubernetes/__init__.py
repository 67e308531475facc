"""The Kubernetes server, and the only code that touches the `kubernetes` package (through `client`)."""

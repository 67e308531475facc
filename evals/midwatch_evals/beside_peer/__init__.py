"""The kubernetes server beside `kubernetes-mcp-server`, a server in Go: `midwatch bench mcp`."""

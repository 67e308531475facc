"""MCP over streamable HTTP: who may connect, under which names, with which token."""

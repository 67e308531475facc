"""Thin MCP servers (kubernetes, metrics, serving, changes) and the safe-apply envelope."""

"""Streams into containers over WebSocket: exec, attach and port-forward."""

"""Pods as real local processes."""

"""Incidents: demo, replay, scoring, benchmarks."""

"""Manifests: read from files, loaded into a lab whole or not at all, and written from one."""

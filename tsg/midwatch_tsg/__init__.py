"""Guides: format, linter, compiler to a graph, runner, and the library of guides."""

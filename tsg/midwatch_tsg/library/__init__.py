"""Guides that come with Midwatch, as Markdown files."""

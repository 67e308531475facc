"""Foreign MCP servers behind our gate: named in a file, pinned by a person, quarantined when they change."""

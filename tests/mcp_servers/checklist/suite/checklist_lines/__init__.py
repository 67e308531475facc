"""Lines of the checklist in `mcp-stack.md` §6: a check each, and how its guard is taken out."""

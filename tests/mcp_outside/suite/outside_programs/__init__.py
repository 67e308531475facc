"""What the tests with other people's MCP programs share: the fixtures those programs ask for, and how they are run."""

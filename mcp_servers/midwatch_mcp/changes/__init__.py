"""The changes server: the only one that can mutate, and only by plans that a person approved."""

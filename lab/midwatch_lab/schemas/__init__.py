"""The structure of the served kinds, extracted from the original's OpenAPI documents, and what reads it."""

"""The way of an incident as a LangGraph graph (DESIGN §3): it keeps the order, the interrupt and the checkpoints.

This package alone imports `langgraph`. The steps of a guide are kept by the runner of `midwatch_tsg`, which one node
drives: LangGraph runs level by level and copies its state into every checkpoint (reference/mcp-stack.md §2 and §3).
"""

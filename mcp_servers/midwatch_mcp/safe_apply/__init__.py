"""The safe-apply envelope: a cluster is changed as a database would be (DESIGN §5, CONTRACTS §5 and §6).

A change is a plan with a content hash, previewed by server dry run, approved over the hashes of plan and preview,
applied under a journal that is written before each step, verified on the clock, undone and the undo proved when it
fails.
"""

"""Rehearsal: a plan carried out on a copy of what it touches, in a lab that is a process of its own (DESIGN §5).

The live cluster is only read. The copy has another cluster uid, a state folder and a key of its own, all of which go
with it, so nothing that was approved there counts anywhere else.
"""

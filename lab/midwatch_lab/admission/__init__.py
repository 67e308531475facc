"""Admission: what is filled in by, and what is refused for, the other objects that the control plane has."""

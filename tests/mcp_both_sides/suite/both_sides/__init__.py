"""The same small world in the lab and in the original control plane, and what every tool is to say of it."""

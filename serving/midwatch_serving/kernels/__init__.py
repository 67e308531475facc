"""The compiled arithmetic of a step: one `linear` and one `paged_attention`, for each kind of CPU.

The only package that imports numba. `runner.KernelRunner` is what others use; `cpu.available` says what runs here.
"""

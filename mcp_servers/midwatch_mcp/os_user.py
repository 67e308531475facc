"""Who runs this process, as records name them."""

import os


def os_user() -> str:
    """Return the user of the operating system."""
    return f"uid:{os.getuid()}"

"""Whether a host is this machine: then nothing leaves it, and a proxy named by the environment must not see it."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Say whether a host name or an address (IPv6 without brackets) is loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

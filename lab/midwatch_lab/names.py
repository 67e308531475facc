"""Names: what may be one, and how the lab makes them up."""

import hashlib
import ipaddress
import re
import secrets
from typing import Any, Final

from midwatch_contracts.canonical import canonical_bytes

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""Without vowels and look-alikes, so that no word is spelt by accident."""
_HASH_LENGTH: Final = 10
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_MAX: Final = 63
_SUBDOMAIN_MAX: Final = 253
_QUALIFIED: Final = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_GENERATED_MAX: Final = 58

_LABEL_1035: Final = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_RE_1035: Final = re.compile(_LABEL_1035)
_RE_LABEL: Final = re.compile(_LABEL)
_RE_SUBDOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_RE_QUALIFIED: Final = re.compile(_QUALIFIED)


def random_suffix(length: int = 5) -> str:
    """Return random letters and digits such as end a generated name."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def generated(prefix: str) -> str:
    """Return a name made from `generateName`."""
    return prefix[:_GENERATED_MAX] + random_suffix()


def template_hash(template: Any, collisions: int = 0) -> str:
    """Return the hash by which a pod template is told from another, safe for use in a name and a label."""
    digest = hashlib.sha256(canonical_bytes([template, collisions])).digest()
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:_HASH_LENGTH])


def dns_label_fault(text: str) -> str | None:
    """Say why the text is no RFC 1123 label, or None where it is one."""
    if len(text) > _LABEL_MAX:
        return f"must be no more than {_LABEL_MAX} bytes"
    if _RE_LABEL.fullmatch(text):
        return None
    return (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
    )


def dns_subdomain_fault(text: str) -> str | None:
    """Say why the text is no RFC 1123 subdomain, or None where it is one."""
    if len(text) > _SUBDOMAIN_MAX:
        return f"must be no more than {_SUBDOMAIN_MAX} characters"
    if _RE_SUBDOMAIN.fullmatch(text):
        return None
    return (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
        f"'{_LABEL}(\\.{_LABEL})*')"
    )


def path_segment_fault(text: str) -> str | None:
    """Say why the text cannot stand in a path by itself, or None where it can: what the names of roles must do."""
    if text in (".", ".."):
        return f"may not be '{text}'"
    return next((f"may not contain '{char}'" for char in "/%" if char in text), None)


def dns_1035_fault(text: str) -> str | None:
    """Say why the text is no RFC 1035 label, or None where it is one."""
    if len(text) > _LABEL_MAX:
        return f"must be no more than {_LABEL_MAX} bytes"
    if _RE_1035.fullmatch(text):
        return None
    return (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation "
        f"is '{_LABEL_1035}')"
    )


def kind_fault(text: str) -> str | None:
    """Say why the text is no kind, or None where it is one."""
    fault = dns_1035_fault(text.lower())
    return None if fault is None else f"may have mixed case, but should otherwise match: {fault}"


def label_key_fault(key: str) -> str | None:
    """Say why the text is no label or annotation key, or None where it is one."""
    return "; ".join(label_key_faults(key)) or None


def label_key_faults(key: str) -> list[str]:
    """Return every reason why the text is no label or annotation key."""
    form = (
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
        f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
    )
    prefix, slash, name = key.partition("/")
    if "/" in name:
        return [f"a valid label key {form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    found: list[str] = []
    if not slash:
        name = prefix
    elif not prefix:
        found.append("prefix part must be non-empty")
    elif fault := dns_subdomain_fault(prefix):
        found.append(f"prefix part {fault}")
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > _LABEL_MAX:
        found.append(f"name part must be no more than {_LABEL_MAX} bytes")
    if not _RE_QUALIFIED.fullmatch(name):
        found.append(f"name part {form}")
    return found


def is_ip_address(text: str) -> bool:
    """Tell whether the text is an IP address, of version 4 or 6."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def label_value_faults(value: str) -> list[str]:
    """Return every reason why the text is no label value."""
    found: list[str] = []
    if len(value) > _LABEL_MAX:
        found.append(f"must be no more than {_LABEL_MAX} bytes")
    if value and not _RE_QUALIFIED.fullmatch(value):
        found.append(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
            "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
            f"validation is '({_QUALIFIED})?')"
        )
    return found


def path_segment_faults(text: str) -> list[str]:
    """Return every reason why the text cannot be one step of a path."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{char}'" for char in ("/", "%") if char in text]


def port_name_faults(name: str) -> list[str]:
    """Return every reason why the text is no port name (RFC 6335 §5.1)."""
    found: list[str] = []
    if len(name) > 15:  # noqa: PLR2004 (RFC 6335)
        found.append("must be no more than 15 characters")
    if not re.fullmatch(r"[-a-z0-9]+", name):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search(r"[a-z]", name):
        found.append("must contain at least one letter (a-z)")
    if "--" in name:
        found.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return found

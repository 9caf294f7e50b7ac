"""Where a server is, as far as its address says; nothing here is slow to import.

Owns    what counts as this machine
Takes   a BASE_URL
Never   asks the network
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(base_url: str) -> bool:
    """Whether a server is on this machine, where the environment's proxies have no business."""
    host = urlsplit(base_url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified  # some servers say 0.0.0.0 of themselves

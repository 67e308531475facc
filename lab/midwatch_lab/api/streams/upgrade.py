"""Which subresources stream, and what a request for one hears that does not ask for a WebSocket."""

from typing import Final

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.errors import ApiError

STREAMED: Final = frozenset({"exec", "attach", "portforward"})
_SWITCHES: Final = {"portforward": "KUBECTL_PORT_FORWARD_WEBSOCKETS"}


def no_upgrade(call: Call) -> ApiError:
    """Return the refusal of a request that should have been a WebSocket; for an older client it names the mend."""
    subresource = call.target.subresource
    switch = _SWITCHES.get(subresource, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS")
    asked = call.request.headers.get("upgrade", "")
    if asked.lower().startswith("spdy"):
        text = f"the lab streams {subresource} over WebSocket only, not over {asked}"
        return status.bad_request(f"{text}: use kubectl 1.31 or later, or set {switch}=true")
    return status.bad_request("unable to upgrade: missing upgrade headers in request: send a WebSocket handshake")

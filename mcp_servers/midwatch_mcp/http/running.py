"""Running a server over HTTP until it is told to stop."""

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Generator

import uvicorn

from midwatch_mcp.call_log import LOG_FILE, CallLog
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.http.app import build_app
from midwatch_mcp.http.listening import PATH, Listen, OAuth, address
from midwatch_mcp.safe_apply.receiving import ApprovalInbox
from midwatch_mcp.server import ToolServer
from midwatch_mcp.settings import ServerSettings

_CONNECTIONS = 200
_BACKLOG = 128
_GRACE_S = 5
_APPLY = "change_apply"


class _Http(uvicorn.Server):
    """uvicorn without signal handlers of its own: stopping is decided here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def main(arguments: argparse.Namespace, server: ToolServer, settings: ServerSettings) -> None:
    """Serve as the command line's arguments say until SIGINT or SIGTERM; what runs then has 5 s to end.

    A server that applies changes takes in approvals, too.

    Raises:
        SettingsError: the flags do not fit together, would let strangers in, or the address cannot be had.
    """
    listen = _listen(arguments)
    writes = any(offer.declaration.name == _APPLY for offer in server.offers)
    inbox = ApprovalInbox(settings) if writes else None
    app = build_app(server, listen, inbox=inbox, calls=CallLog(settings.state / LOG_FILE, server.name))
    with _bound(listen) as listener:
        config = uvicorn.Config(
            app,
            limit_concurrency=_CONNECTIONS,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
            ssl_certfile=listen.certificate,
            ssl_keyfile=listen.key,
        )
        asyncio.run(_serve(_Http(config), listener, listen))


async def _serve(http: _Http, listener: socket.socket, listen: Listen) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # Asked twice, nothing is waited for.
        http.force_exit = http.should_exit
        http.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    _announce(listener, listen)
    await http.serve([listener])


def _announce(listener: socket.socket, listen: Listen) -> None:
    host, port = listener.getsockname()[:2]
    scheme = "http" if listen.certificate is None else "https"
    print(f"serving MCP on {scheme}://{f'[{host}]' if ':' in host else host}:{port}{PATH}", file=sys.stderr, flush=True)  # noqa: T201 (what the user asked for)
    if listen.token_file is None and listen.oauth is None:
        print("no token is asked for: whoever is on this machine can call; --token-file limits that", file=sys.stderr)  # noqa: T201 (what the user asked for)


def _bound(listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    # The protocol is named, for asyncio turns Nagle's algorithm off only then: an answer would else wait for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((listen.host, listen.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"--http: {listen.host}:{listen.port} cannot be listened on: {error.strerror or error}"
        ) from error
    return listener


def _listen(arguments: argparse.Namespace) -> Listen:
    if (arguments.oauth_issuer is None) != (arguments.oauth_resource is None):
        raise SettingsError("--oauth-issuer and --oauth-resource belong together: give both or none")
    if arguments.oauth_scope and arguments.oauth_issuer is None:
        raise SettingsError("--oauth-scope is for tokens of an authorization server: give --oauth-issuer too")
    oauth = None
    if arguments.oauth_issuer is not None:
        oauth = OAuth(arguments.oauth_issuer, arguments.oauth_resource, tuple(arguments.oauth_scope))
    host, port = address(arguments.http)
    return Listen(
        host,
        port,
        allowed_hosts=tuple(arguments.allowed_host),
        allowed_origins=tuple(arguments.allowed_origin),
        token_file=arguments.token_file,
        oauth=oauth,
        certificate=arguments.tls_cert_file,
        key=arguments.tls_private_key_file,
    )

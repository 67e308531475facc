"""A small HTTP server that plays a container in tests, with the flags that the lab gives to one.

GET /health, /name, /slow (three chunks), /metrics; POST /echo; GET /exit?code=N ends it; `--ready-file F`: /health is
503 until F exists; `--exit-at-once N`: ends with N; `--ignore-term`: does not heed SIGTERM.
"""

import argparse
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--exit-with-stdin", action="store_true")
    parser.add_argument("--exit-at-once", type=int)
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--say", default="hello")
    return parser.parse_args()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    given = argparse.Namespace()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's)
        """Say nothing."""

    def answer(self, body: str, code: int = 200) -> None:
        content = body.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("X-Pod", os.environ.get("POD", ""))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/health":
            file = self.given.ready_file
            self.answer("ok", 200 if file is None or file.exists() else 503)
        elif path == "/exit":
            say("asked to end")
            os._exit(int(query.partition("=")[2]))
        elif path == "/slow":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(3):
                self.wfile.write(f"2\r\n{number}\n\r\n".encode())
                self.wfile.flush()
                time.sleep(0.2)
            self.wfile.write(b"0\r\n\r\n")
        elif path == "/metrics":
            self.answer("# TYPE fake_up gauge\nfake_up 1\n")
        else:
            self.answer(f"{self.given.host} {self.path} {os.environ.get('MIDWATCH_CPU_LIMIT', '')}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer(f"{self.command} {self.path} {body.decode()} {self.headers.get('Authorization')}")

    do_PATCH = do_PUT = do_DELETE = do_POST  # noqa: N815 (the base class's)


def main() -> None:
    given = options()
    say(given.say)
    sys.stderr.write("a word on stderr\n")
    sys.stderr.flush()
    if given.exit_at_once is not None:
        sys.exit(given.exit_at_once)
    Handler.given = given
    server = ThreadingHTTPServer((given.host, given.port), Handler)
    server.daemon_threads = True

    def end(*_arguments: Any) -> None:
        say("ending")
        os._exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if given.ignore_term else end)
    if given.exit_with_stdin:
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()

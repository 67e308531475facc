"""`midwatch lab load` from this process to a URL: follows, reports, and ends."""

import argparse
import json
import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit
from midwatch_lab.load.arguments import configure_load
from midwatch_lab.load.command import main
from scripted_service import event


class Server(ThreadingHTTPServer):
    """Answers chat completions; sends this process a signal at the request of that number."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self._counting = threading.Lock()
        self.interrupt_at: int | None = None

    def ask(self, body: dict[str, Any]) -> None:
        """Take a request down; of those that come at once each has a number of its own."""
        with self._counting:
            self.asked.append(body)
            number = len(self.asked)
        if number == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: Ctrl-C makes them do so."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(json.dumps({"data": [{"id": "tiny"}]}).encode())

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        self.server.ask(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer(event(None) + event("a") + b"data: [DONE]\n\n")

    def _answer(self, page: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def _run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    configure_load(parser)
    return main(parser.parse_args(words), Path("/nowhere"))


def _url(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_a_load_is_followed_to_its_end_and_reported_as_json(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--preset", "chat", "--rate", "200", "--requests", "20", "--set", "token_scale=0.1", "--json")
    assert _run("start", "--url", _url(server) + "/v1/", *words) == Exit.OK
    (row,) = json.loads(capsys.readouterr().out)["loads"]
    assert (row["target"], row["state"], row["completed"]) == (_url(server), "done", 20)
    assert row["traffic"]["output_tokens"]["max"] == max(body["max_tokens"] for body in server.asked)
    assert {body["model"] for body in server.asked} == {"tiny"}


def test_a_trace_is_replayed_and_told_in_words(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.csv"
    path.write_text('timestamp,input_length,output_length,hash_ids\n0,30,4,"[1]"\n90,40,5,"[1]"\n', "utf-8")
    assert _run("replay", str(path), "--url", _url(server), "--speed", "3") == Exit.OK
    text = capsys.readouterr().out
    assert "trace, done" in text
    assert "2 sent, 2 completed" in text
    assert "mean 0.03," in text
    assert [body["max_tokens"] for body in server.asked] == [4, 5]


def test_ctrl_c_ends_a_load_and_still_says_what_it_sent(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server.interrupt_at = 5
    assert _run("start", "--url", _url(server), "--rate", "100", "--shape", "constant", "--json") == Exit.INTERRUPTED
    (row,) = json.loads(capsys.readouterr().out)["loads"]
    assert row["state"] == "stopped"
    server.shutdown()
    server.server_close()
    assert 5 <= len(server.asked) <= row["sent"], "what goes on behind the report is not in it"


def test_a_load_ends_after_its_seconds(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("start", "--url", _url(server), "--rate", "50", "--for", "0.3") == Exit.OK
    assert "poisson, stopped" in capsys.readouterr().out


def test_a_specification_comes_from_a_file_and_flags_win(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "load.yaml"
    path.write_text("shape: clients\nrate: 1\nrequests: 6\nclients: [{name: a, share: 1, output_tokens: 3}]\n", "utf-8")
    assert _run("start", "--spec", str(path), "--url", _url(server), "--rate", "300", "--json") == Exit.OK
    (row,) = json.loads(capsys.readouterr().out)["loads"]
    assert (row["shape"], row["sent"], row["traffic"]["clients"]) == ("clients", 6, {"a": 1.0})
    assert {body["max_tokens"] for body in server.asked} == {3}


def test_a_server_that_answers_nothing_leaves_the_load_unsettled(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--rate", "100", "--requests", "3")
    assert _run("start", "--url", "http://127.0.0.1:9", *words) == Exit.UNSETTLED
    assert "3 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rate", "-1"), "rate: "),
        (("--preset", "chit-chat"), "preset: 'chit-chat' is none of chat"),
        (("--rate", "1", "--set", "cv"), "--set cv: write NAME=VALUE"),
        (("--rate", "1", "--set", "cv=2"), "a poisson load has no field 'cv'"),
        (("--spec", "/nowhere/load.yaml"), "/nowhere/load.yaml cannot be read"),
    ],
)
def test_what_is_no_load_is_refused_before_anything_is_sent(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message) as refused:
        _run("start", "--url", "http://127.0.0.1:9", *words)
    assert refused.value.code == Exit.BAD_INPUT


def test_a_trace_that_cannot_be_read_ends_the_command(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,9,nine\n", "utf-8")
    with pytest.raises(CommandError, match=r"t\.csv: line 2: GeneratedTokens is 'nine'"):
        _run("replay", str(path), "--url", _url(server))


@pytest.mark.parametrize("action", ["show", "stop"])
def test_without_a_lab_there_is_no_load_to_show_or_stop(action: str) -> None:
    with pytest.raises(CommandError, match="no lab runs in /nowhere"):
        _run(action)

"""A real server process: the openai client against it, and how it starts and ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from midwatch_serving.launch import THREAD_VARIABLES

pytestmark = pytest.mark.slow

DEADLINE_S = 20
MESSAGES: list[Any] = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "hello"}]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def body(max_tokens: int = 900, **more: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": MESSAGES, "max_tokens": max_tokens, **more}


def running(url: str) -> int:
    return httpx2.get(f"{url}/admin/requests").json()["running"]


def test_the_openai_client_works_unmodified(server: Any) -> None:
    url = server("--served-model-name", "chat").url
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["chat"]
        whole = client.chat.completions.create(model="chat", messages=MESSAGES, max_tokens=12, temperature=0)
        assert whole.choices[0].finish_reason == "length"
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 12
        stream = client.chat.completions.create(
            model="chat",
            messages=MESSAGES,
            max_completion_tokens=12,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        events = list(stream)
        text = "".join(choice.delta.content or "" for event in events for choice in event.choices)
        assert text == whole.choices[0].message.content
        assert events[-1].usage is not None
        assert events[-1].usage.total_tokens == whole.usage.total_tokens
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="gpt", messages=MESSAGES)
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="chat", messages=MESSAGES, n=99)
        assert refused.value.param == "n"


def test_a_client_that_closes_its_connection_leaves_no_request_behind(server: Any) -> None:
    url = server().url
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        stream = client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=1900, stream=True)
        next(iter(stream))
        assert running(url) == 1
        stream.close()
        until(lambda: running(url) == 0)
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.3).chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=1900)
    until(lambda: running(url) == 0)
    blocks = httpx2.get(f"{url}/admin/blocks").json()
    assert blocks["free"] == blocks["total"]


def test_sigterm_finishes_what_runs_and_takes_nothing_new(server: Any) -> None:
    s = server("--cpu-limit", "0.2")
    with httpx2.stream("POST", f"{s.url}/v1/chat/completions", json=body(120, stream=True), timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        s.process.send_signal(signal.SIGTERM)
        until(lambda: httpx2.get(f"{s.url}/health").status_code == 503)
        assert httpx2.post(f"{s.url}/v1/chat/completions", json=body(1)).status_code == 503
        text = "\n".join(lines)
    assert '"finish_reason":"length"' in text
    assert text.strip().endswith("data: [DONE]")
    assert s.process.wait(DEADLINE_S) == 0
    assert "stopping: SIGTERM" in s.log.read_text()


def test_after_the_grace_what_still_runs_is_aborted_and_the_exit_is_clean(server: Any) -> None:
    s = server("--cpu-limit", "0.02", "--shutdown-grace", "0.2")
    with httpx2.stream("POST", f"{s.url}/v1/chat/completions", json=body(stream=True), timeout=60) as answer:
        until(lambda: running(s.url) == 1)
        s.process.send_signal(signal.SIGTERM)
        text = answer.read().decode()
    assert '"finish_reason":"abort"' in text
    assert s.process.wait(DEADLINE_S) == 0
    assert "aborted 1 request" in s.log.read_text()


def test_the_end_of_standard_input_ends_the_server(server: Any) -> None:
    s = server("--exit-with-stdin", "--shutdown-grace", "60", stdin=subprocess.PIPE)
    assert httpx2.get(f"{s.url}/health").status_code == 200
    assert s.process.poll() is None
    s.process.stdin.close()
    assert s.process.wait(DEADLINE_S) == 0


def start(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "midwatch_serving", *flags],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env=os.environ | environment,
    )


def test_a_port_in_use_is_bad_input_and_the_message_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = start("--port", str(port))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"midwatch: cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--block-size", "12"], "--block-size: 12 does not divide 64"),
        (["--cpu-limit", "lots"], "CPU limit 'lots'"),
        (["--cpu-limit", "0"], "CPU limit '0'"),
        (["--port", "99999"], "--port 99999"),
        (["--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid"),
        (["--model", "huge"], "there is no model 'huge'"),
        (["--kernel-threads", "0"], "--kernel-threads 0"),
        (["--max-model-len", "16385"], "--max-model-len: 16385"),
        (["--max-num-seqs", "0"], "--max-num-seqs: 0 is outside 1 to 1024"),
    ],
)
def test_bad_arguments_end_with_2_and_say_which(flags: list[str], says: str) -> None:
    ended = start("--port", "0", *flags)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_one_computing_thread_and_the_limit_of_the_environment(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDWATCH_CPU_LIMIT", "250m")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    s = server()
    assert "CPU limit 0.25" in s.log.read_text()
    assert httpx2.post(f"{s.url}/v1/chat/completions", json=body(4), timeout=60).status_code == 200
    threads = Path(f"/proc/{s.process.pid}/task")
    if threads.is_dir():
        assert len(list(threads.iterdir())) <= 3  # the event loop, the step, and a name resolver at most
    assert set(THREAD_VARIABLES) >= {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"}


def test_where_it_listens_can_be_had_as_json(server: Any) -> None:
    facts = json.loads(server("--json").url)
    assert facts["url"] == f"http://127.0.0.1:{facts['port']}"
    assert facts["model"] == "tiny"
    assert httpx2.get(f"{facts['url']}/health").status_code == 200


DYING = """
import sys
from midwatch_serving import executor
from midwatch_serving.__main__ import main

def die(self, work):
    raise MemoryError("no room for the step")

executor.CpuExecutor.execute = die
sys.exit(main())
"""


def test_an_engine_that_dies_tells_its_client_and_ends_the_process_with_1() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DYING, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            answer = httpx2.post(f"{url}/v1/chat/completions", json=body(4), timeout=DEADLINE_S)
            _, log = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "engine_dead")
    assert process.returncode == 1
    assert "the engine died" in log
    assert "no room for the step" in log

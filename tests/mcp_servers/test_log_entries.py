"""What one container's log says, without a cluster: entries, tracebacks, errors and their groups."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_mcp.kubernetes.log_entries import Entry, entries_of, merged
from midwatch_mcp.kubernetes.log_errors import error_groups, is_error, masked

PYTHON = """\
INFO started
ERROR:engine:request failed
Traceback (most recent call last):
  File "/app/a.py", line 3, in run
    raise KeyError("x")
KeyError: 'x'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/b.py", line 9, in main
    run()
RuntimeError: no block left
INFO goes on
"""
VLLM = """\
INFO 11-27 08:15:00 [core.py:10] ready
(EngineCore_0 pid=7) ERROR 11-27 08:15:01 [core.py:710] EngineCore failed
(EngineCore_0 pid=7) ERROR 11-27 08:15:01 [core.py:710] Traceback (most recent call last):
(EngineCore_0 pid=7) ERROR 11-27 08:15:01 [core.py:710]   File "/v/core.py", line 5, in run
(EngineCore_0 pid=7) ERROR 11-27 08:15:01 [core.py:710]     step()
(EngineCore_0 pid=7) ERROR 11-27 08:15:01 [core.py:710] torch.OutOfMemoryError: CUDA out of memory
INFO 11-27 08:15:02 [core.py:12] shutting down
"""
GO = """\
listening on :8080
panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.handle(0xc000012345)
\t/app/main.go:12 +0x1d
main.main()
\t/app/main.go:5 +0x25
exit status 2
listening on :8080
"""
JAVA = """\
2026-11-27 08:14:59,000 INFO [main] c.e.Shop - loads
2026-11-27 08:15:00,123 ERROR [main] c.e.Shop - cannot load
java.lang.IllegalStateException: no pool
\tat com.example.Shop.load(Shop.java:10)
\t... 12 more
Caused by: java.net.ConnectException: refused
\tat java.base/sun.nio.ch.Net.connect(Net.java:1)
2026-11-27 08:15:01,000 INFO [main] c.e.Shop - again
"""


def texts(log: str) -> list[str]:
    return [entry.text for entry in entries_of("p", "c", log)]


@pytest.mark.parametrize("log", [PYTHON, VLLM, GO, JAVA], ids=["python", "vllm", "go", "java"])
def test_a_traceback_is_one_entry_with_the_line_that_announces_it(log: str) -> None:
    first, *body, last = log.splitlines()
    assert texts(log) == [first, "\n".join(body), last]


@given(st.lists(st.text(alphabet="abT :\t(){}.0", max_size=30), max_size=40))
def test_no_line_is_lost_or_doubled_when_lines_are_joined(lines: list[str]) -> None:
    log = "".join(f"2026-01-01T00:00:{index % 60:02}Z {line}\n" for index, line in enumerate(lines))
    found = entries_of("p", "c", log)
    assert sum(entry.lines for entry in found) == len(lines)
    assert [entry.order for entry in found] == sorted({entry.order for entry in found})


def test_lines_of_several_containers_are_merged_to_the_nanosecond_and_across_time_zones() -> None:
    one = entries_of("a", "x", "2026-01-01T00:00:01.000000002Z second\n2026-01-01T00:00:09Z last\n")
    two = entries_of("b", "x", "2026-01-01T01:00:01.000000001+01:00 first\nno stamp of its own\n")
    found = merged([one, two])
    assert [entry.text for entry in found] == ["first", "no stamp of its own", "second", "last"]
    assert (found[0].ns, found[2].ns) == (1_767_225_601_000_000_001, 1_767_225_601_000_000_002)


@pytest.mark.parametrize(
    "log",
    [
        "starts\n-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQ\nq8Zk3canary\n-----END RSA PRIVATE KEY-----\nends\n",
        "MIIEowIBAAKCAQEA7canary0\nMIIEowIBAAKCAQEA7canary1\n-----END PRIVATE KEY-----\nends\n",
        "starts\nkey: -----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA7canary\n",
        "private_key: -----BEGIN PRIVATE KEY-----MIIEowIBAAKCAQEA7canary-----END PRIVATE KEY----- ends\n",
    ],
    ids=["whole", "cut at its beginning", "cut at its end", "on one line"],
)
def test_a_private_key_over_many_lines_is_taken_out_whole(log: str) -> None:
    found = "\n".join(texts(log))
    assert "canary" not in found
    assert "MIIE" not in found
    assert "[redacted]" in found
    assert ("ends" in found, "starts" in found) == ("ends" in log, "starts" in log)


@pytest.mark.parametrize(
    "line",
    [
        "ERROR:root:cannot open",
        "E1127 08:15:00.123456       1 reflector.go:147] watch ended",
        '{"level":"error","msg":"x"}',
        '{"level":50,"msg":"x"}',
        'ts=1 level=fatal msg="x"',
        "2026/11/27 08:15:00 [error] 7#7: *1 upstream timed out",
        "ValueError: bad",
        "java.lang.NullPointerException: null",
        "request failed: connection refused",
        "panic: boom",
        "Segmentation fault (core dumped)",
    ],
)
def test_lines_that_tell_of_an_error_are_known(line: str) -> None:
    assert is_error(Entry(0, "p", "c", 0, line))


@pytest.mark.parametrize(
    "line",
    [
        "INFO 11-27 08:15:00 [api.py:1] error rate is 0.0",
        '{"level":"info","error":null}',
        '{"level":30,"msg":"failed over as planned"}',
        "WARNING retry after error",
        "finished with 0 errors",
        "no errors found",
        "error=None attempt=1",
        "I1127 08:15:00.123456       1 x.go:1] error handler registered",
        "the terrors of the sea",
    ],
)
def test_lines_that_only_name_errors_are_not_taken_for_one(line: str) -> None:
    assert not is_error(Entry(0, "p", "c", 0, line))


def test_errors_that_differ_in_numbers_ids_and_addresses_are_one_group() -> None:
    log = "".join(
        f"2026-01-01T00:00:0{second}Z ERROR request {name} from 10.0.{second}.7:81 failed after {second}.5 s, {word}\n"
        for second, name, word in (
            (1, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "decode"),
            (2, "6ba7b811-9dad-11d1-80b4-00c04fd430c8", "prefill"),
            (3, "6ba7b812-9dad-11d1-80b4-00c04fd430c8", "decode"),
        )
    )
    (group,) = error_groups([*entries_of("b", "c", log), *entries_of("a", "c", log)])
    assert group.template == "ERROR request <uuid> from <ip> failed after <num> s, <*>"
    assert (group.count, list(group.pods)) == (6, ["b", "a"])
    assert (group.last_ns - group.first_ns) == 2_000_000_000


def test_different_errors_stay_apart_and_the_most_frequent_comes_first() -> None:
    log = "ERROR disk full on /data\n" + "ERROR peer 7 lost\n" * 3 + "INFO fine\n"
    assert [(group.template, group.count) for group in error_groups(entries_of("p", "c", log))] == [
        ("ERROR peer <num> lost", 3),
        ("ERROR disk full on /data", 1),
    ]


def test_a_traceback_is_grouped_by_what_was_raised() -> None:
    other = PYTHON.replace("line 9", "line 10").replace('KeyError("x")', 'KeyError("y")')
    (group,) = error_groups(entries_of("p", "c", PYTHON + other))
    assert (group.template, group.count) == ("RuntimeError: no block left", 2)
    assert group.example.startswith("ERROR:engine:request failed\nTraceback")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("pod chat-7d9f8b6c5d-x2x9z took 250ms at 2026-11-27T08:15:00.1Z", "pod chat-<id> took <num>ms at <time>"),
        ("0x7fff digest sha256:9f86d081884c7d65 port [::1]:8080", "<hex> digest sha256:<hex> port <ip>"),
        (
            "90% of 4Gi, -3 left, v1beta1 stays, facade stays",
            "<num>% of <num>Gi, <num> left, v1beta1 stays, facade stays",
        ),
    ],
)
def test_what_varies_by_itself_is_masked_and_words_are_not(line: str, words: str) -> None:
    assert " ".join(masked(line)) == words


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_can_be_masked_and_masks_hold_no_digits_of_their_own(line: str) -> None:
    assert not re.search(r"\b0x[0-9a-f]+\b", " ".join(masked(line)))

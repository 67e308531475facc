"""`kubectl create`, `run` and `expose` by flags: what is made, and what is refused, is that of the original."""

import pytest

from kubectl_harness import Twins
from kubectl_harness.manifests import as_list, deployment, pod

pytestmark = [pytest.mark.slow, pytest.mark.kubectl, pytest.mark.original]

CERTIFICATE = "tls.crt"
MADE = [
    "deployment one --image=nginx:1 --image=redis:7 --replicas=2",
    "deployment two --image=busybox --port=8080 -- sleep 60",
    "service clusterip inner --tcp=80:8080 --tcp=443",
    "service clusterip headless --clusterip=None",
    "service nodeport outer --tcp=80 --node-port=31234",
    "service externalname far --external-name=example.com",
    "service loadbalancer front --tcp=80",
    "configmap words --from-literal=a=1 --from-literal=b=two",
    "configmap files --from-file=notes.txt --from-file=renamed=notes.txt",
    "configmap environment --from-env-file=some.env",
    "secret generic words --from-literal=password=hush --type=Opaque",
    "secret generic files --from-file=notes.txt",
    "secret docker-registry pull --docker-username=u --docker-password=p --docker-server=registry.example.com",
    "namespace made-by-flags",
    "job once --image=busybox -- date",
    "cronjob often --image=busybox --schedule=*/5 -- date",
    "poddisruptionbudget budget --selector=app=web --min-available=50%",
    "quota limits --hard=pods=10 --scopes=BestEffort",
    "priorityclass urgent --value=1000 --description=soon",
    "ingress in --rule=example.com/path*=web:80,tls=cert --class=nginx",
    "serviceaccount robot",
]


@pytest.fixture(scope="module")
def k(both: Twins) -> Twins:
    for side in (both.lab, both.original):
        (side.home / "notes.txt").write_text("words\n")
        (side.home / "some.env").write_text("A=1\nB=two\n")
    both("create", "-f", "-", stdin=as_list(deployment(), pod("a")))
    return both


def words(line: str) -> list[str]:
    return [word.replace("*/5", "*/5 * * * *") if word.startswith("--schedule") else word for word in line.split()]


def options(line: str, *more: str) -> list[str]:
    """The words with more options, which stand before what the container is to run."""
    before, dashes, command = line.partition(" -- ")
    return [*words(before), *more, *(["--", *command.split()] if dashes else [])]


@pytest.mark.parametrize("line", MADE)
def test_create_by_flags_makes_what_the_original_makes(k: Twins, line: str) -> None:
    tried = k("create", *options(line, "--dry-run=server", "-o", "yaml"))
    k("create", *options(line, "--dry-run=client", "-o", "yaml"))
    assert "uid: " in tried
    assert "created" in k("create", *options(line))
    if "--node-port" not in line:  # which port is looked at first, and taken
        assert "already exists" in k("create", *options(line), code=1)


@pytest.mark.parametrize(
    "line",
    [
        "deployment Bad_Name --image=nginx:1",
        "service clusterip bad --tcp=70000",
        "priorityclass system-mine --value=1",
        "priorityclass huge --value=2000000001",
        "ingress bad --rule=exa_mple.com/path=web:80",
        "service externalname far2 --external-name=-example-",
        "configmap bad --from-literal=a/b=1",
        "namespace Bad_Name",
        "quota bad --hard=pods=many",
        "poddisruptionbudget bad --selector=a=b --min-available=150%",
        "cronjob bad --image=busybox --schedule=never",
    ],
)
def test_create_refuses_what_the_original_refuses(k: Twins, line: str) -> None:
    assert k("create", *words(line), code=1)


@pytest.mark.parametrize(
    "line",
    [
        "deployment/web --port=80 --target-port=http --name=fronted",
        "deployment/web --port=80 --type=NodePort --name=node",
        "deployment/web --port=80 --cluster-ip=None --name=headless2",
        "pod/a --port=80 --name=single --labels=x=y",
        "service/fronted --port=81 --name=second",
    ],
)
def test_expose_makes_services(k: Twins, line: str) -> None:
    assert "exposed" in k("expose", *line.split())
    assert "selector" in k("get", "service", line.split("--name=")[1].split(maxsplit=1)[0], "-o", "yaml")


def test_expose_refuses_what_has_no_selector(k: Twins) -> None:
    k("expose", "configmap/words", "--port=80", code=1)
    k("expose", "deployment/nobody", "--port=80", code=1)


@pytest.mark.parametrize(
    "line",
    [
        "alone --image=nginx:1 --port=80 --labels=a=b --env=COLOR=red --annotations=note=words",
        "asleep --image=busybox --restart=Never --command -- sleep 60",
        "words --image=busybox --restart=OnFailure -- one two",
        """over --image=nginx:1 --overrides={"spec":{"nodeName":"n9"}}""",
    ],
)
def test_run_makes_a_pod(k: Twins, line: str) -> None:
    assert "uid: " in k("run", *options(line, "--dry-run=server", "-o", "yaml"))
    assert "created" in k("run", *options(line))
    k("get", "pod", line.split(maxsplit=1)[0], "-o", "yaml", "--show-managed-fields")


def test_create_from_a_file_refuses_unknown_fields_and_warns_when_told_to(k: Twins) -> None:
    odd = pod("odd", color="red")
    assert 'unknown field "color"' in k("create", "-f", "-", stdin=as_list(odd), code=1)
    assert "Warning" in k("create", "-f", "-", "--validate=warn", stdin=as_list(odd))
    k("create", "-f", "-", "--validate=ignore", "--dry-run=server", stdin=as_list({**odd, "metadata": {"name": "p"}}))
    assert "created" in k("create", "-f", "-", "--save-config", stdin=as_list(pod("saved")))
    assert "last-applied" in k("get", "pod", "saved", "-o", "yaml")

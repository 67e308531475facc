"""How the client gets to its cluster: kubeconfig or the pod's own credentials, as whom, and within which bounds."""

import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from midwatch_mcp.errors import KubeError, RefusedError, SettingsError
from midwatch_mcp.hosts import is_loopback

CLIENT = "kubernetes.aio"
"""Takes 0.7 s to import, so it is imported when it is first needed."""
_CONNECTIONS = 100
_READ_BYTES = 2**21
"""One event of a watch, which is one line, may be that large."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"
_OBJECTS = re.compile(r"/(?:api/v1|apis/[^/]+/[^/]+)/(?:namespaces/(?P<namespace>[^/]+)/)?(?P<plural>[^/]+)(?:/.*)?")


@dataclass(frozen=True)
class Bounds:
    """What a client may do beyond, or only within, what its credentials allow."""

    namespaces: frozenset[str] = frozenset()
    """Namespaces whose objects may be touched; empty: all. Kinds that live in none are not kept back."""
    user: str | None = None
    """Whom to impersonate."""
    groups: tuple[str, ...] = ()
    insecure_skip_tls_verify: bool = False
    """Whether a kubeconfig may turn the check of the server's certificate off."""

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers of impersonation, one a group."""
        user = [] if self.user is None else [("Impersonate-User", self.user)]
        return [*user, *(("Impersonate-Group", group) for group in self.groups)]


def placed(path: str) -> tuple[str | None, str] | None:
    """Return (namespace or None, plural) of a path to objects; None for other paths."""
    found = _OBJECTS.fullmatch(path)
    return None if found is None else (found["namespace"], found["plural"])


def check_namespace(path: str, bounds: Bounds, *, namespaced: bool) -> None:
    """Refuse a path that leads out of the namespaces that the client is kept to.

    `namespaced` says whether the kind lives in namespaces.

    Raises:
        RefusedError: names the namespaces that may be asked for.
    """
    found = placed(path)
    if found is None or not bounds.namespaces or not namespaced:
        return
    namespace, plural = found
    if namespace is None:
        raise RefusedError(f"this server is kept to {_listed(bounds)}: name one of them to read {plural}")
    if namespace not in bounds.namespaces:
        raise RefusedError(f"this server is kept to {_listed(bounds)}: {namespace} is out of bounds")


def _listed(bounds: Bounds) -> str:
    names = sorted(bounds.namespaces)
    return f"the namespace {names[0]}" if len(names) == 1 else f"the namespaces {', '.join(names)}"


@dataclass(frozen=True)
class Connection:
    """An open way to one API server: a pool of connections to it, and credentials that renew themselves."""

    host: str
    """Scheme, name and port, and the path before the API's if there is one."""
    session: Any
    """An `aiohttp.ClientSession`."""
    bounds: Bounds
    api: Any
    """The `kubernetes.aio` ApiClient, which has the credentials."""
    proxy: Mapping[str, Any]
    """What a request passes to the session of the proxy that the kubeconfig names."""
    server_name: Mapping[str, Any]
    """And of the name that the certificate must have, if it is not the host's."""

    async def headers(self, given: Mapping[str, str], method: str, path: str) -> Any:
        """Return the headers of a request (a `CIMultiDict`): those given, credentials, impersonation."""
        sent = dict(given)
        await self.api.update_params_for_auth(sent, [], ["BearerToken"], path, method, None)
        multi = importlib.import_module("multidict")
        return multi.CIMultiDict([*sent.items(), *self.bounds.headers()])

    async def send(self, method: str, path: str, headers: Any, body: bytes | None) -> Any:
        """Send a request and return the answer (`aiohttp.ClientResponse`) as soon as it begins.

        No redirect is followed: a pod behind the proxy could lead a request, and its token, to any path of the API.

        Raises:
            KubeError: for a redirect.
        """
        through = {**self.proxy, **self.server_name}
        answer = await self.session.request(
            method, self.host + path, headers=headers, data=body, allow_redirects=False, **through
        )
        if answer.status in _REDIRECTS:
            answer.close()
            where = "answers with a redirect, which is not followed: what answers there is no API server"
            raise KubeError(int(answer.status), "Redirect", f"{path} {where}")
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self.session.close()
        await self.api.close()


async def connect(kubeconfig: Path | None, context: str | None, bounds: Bounds) -> Connection:
    """Open the way to a cluster.

    Without a kubeconfig, in a pod that has none of its own, the pod's service account is used.

    Raises:
        SettingsError: it does not work, or would not check the server's certificate.
    """
    kube = importlib.import_module(CLIENT)
    configuration = kube.client.Configuration()
    if _in_cluster(kubeconfig, context, os.environ):
        try:
            kube.config.load_incluster_config(client_configuration=configuration)
        except kube.config.ConfigException as error:
            raise SettingsError(f"the service account of this pod does not work: {error}") from error
    else:
        await _load(kube, configuration, kubeconfig, context)
    if configuration.host.startswith("https:") and not configuration.verify_ssl and not bounds.insecure_skip_tls_verify:
        raise SettingsError(
            f"the kubeconfig turns the check of the certificate of {configuration.host} off: put its "
            "certificate-authority in, or give --insecure-skip-tls-verify to take whoever answers for the cluster"
        )
    http = importlib.import_module("aiohttp")
    api = kube.client.ApiClient(configuration)
    host = str(configuration.host)
    session = http.ClientSession(
        connector=http.TCPConnector(limit=_CONNECTIONS, ssl=api.rest_client.ssl_context),
        # A proxy named by the environment must not see what goes to this machine (kubectl's rule as well).
        trust_env=not is_loopback(urlsplit(host).hostname or ""),
        timeout=http.ClientTimeout(total=None),
        cookie_jar=http.DummyCookieJar(),
        read_bufsize=_READ_BYTES,
    )
    proxy = {"proxy": configuration.proxy, "proxy_headers": configuration.proxy_headers}
    name = {"server_hostname": configuration.tls_server_name}
    given = [{key: value for key, value in options.items() if value} for options in (proxy, name)]
    return Connection(host, session, bounds, api, *given)


def _in_cluster(kubeconfig: Path | None, context: str | None, environment: Mapping[str, str]) -> bool:
    """Follow kubectl's rule: in a pod, where nothing names a kubeconfig and none lies at its usual place."""
    named = kubeconfig is not None or context is not None or bool(environment.get("KUBECONFIG"))
    return not named and _IN_CLUSTER in environment and not Path("~/.kube/config").expanduser().is_file()


def _is_there(where: str) -> bool:
    """Say whether one of several files is there, as `KUBECONFIG` may name."""
    return any(Path(file).expanduser().is_file() for file in where.split(os.pathsep))


async def _load(kube: Any, configuration: Any, kubeconfig: Path | None, context: str | None) -> None:
    # The client's own default is what the variable said when it was imported.
    where = str(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    try:
        if not _is_there(where):
            raise FileNotFoundError("there is no such file")
        await kube.config.load_kube_config(
            config_file=where,
            context=context,
            client_configuration=configuration,
            persist_config=False,
        )
    except (kube.config.ConfigException, OSError, ValueError) as error:
        wanted = f" (context {context})" if context else ""
        raise SettingsError(
            f"no cluster to talk to: the kubeconfig {where}{wanted} does not work: {error}; "
            "give --kubeconfig and --context, or --lab for a running lab"
        ) from error

"""Record what kube-state-metrics says of `objects.yaml`, as the data of `test_state_metrics.py`.

    python tests/lab_metrics/state/record.py KUBE_STATE_METRICS KUBECONFIG

KUBECONFIG leads to a kube-apiserver without controllers, so that what is written is what is read; kubectl is in the
PATH. `recorded.json` beside this file then has the objects as the server gives them and the page made of them.
"""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
PORT = 18080
LABELS = "namespaces=[*],pods=[app,app.kubernetes.io/name],nodes=[*],resourcequotas=[team]"
DENIED = (
    "kube_pod_(ips|tolerations|nodeselectors|overhead_.*|runtimeclass_name_info|service_account|scheduler"
    "|status_initialized_time|status_container_ready_time)"
)
"""What the lab leaves out of the original's families."""


def kubectl(kubeconfig: str, *arguments: str, given: str | None = None) -> str:
    command = ["kubectl", "--kubeconfig", kubeconfig, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.stderr}\n{given}")
    return done.stdout


def write(kubeconfig: str, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Write the objects and their statuses; return them as the server has them."""
    for obj in objects:
        text = json.dumps(obj)
        kubectl(kubeconfig, "create", "-f", "-", given=text)
        if "status" in obj:
            place = [obj["kind"], obj["metadata"]["name"], "-n", obj["metadata"].get("namespace", "default")]
            patch = json.dumps({"status": obj["status"]})
            kubectl(kubeconfig, "patch", *place, "--subresource=status", "--type=merge", "-p", patch)
    kubectl(kubeconfig, "delete", "pod", "waiting", "-n", "prod", "--wait=false")
    found: list[dict[str, Any]] = []
    for obj in objects:
        place = [obj["kind"], obj["metadata"]["name"], "-n", obj["metadata"].get("namespace", "default")]
        found.append(json.loads(kubectl(kubeconfig, "get", *place, "-o", "json")))
    return found


def page(program: str, kubeconfig: str) -> str:
    """Run kube-state-metrics until its page has all of it."""
    options = [f"--kubeconfig={kubeconfig}", f"--port={PORT}", "--telemetry-port=18081", f"--metric-denylist={DENIED}"]
    command = [
        program,
        *options,
        f"--metric-labels-allowlist={LABELS}",
        "--host=127.0.0.1",
        "--telemetry-host=127.0.0.1",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            time.sleep(6)
            with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics") as answer:
                return answer.read().decode()
        finally:
            running.terminate()


def main() -> None:
    program, kubeconfig = sys.argv[1:]
    objects = list(yaml.safe_load_all((HERE / "objects.yaml").read_text()))
    found = write(kubeconfig, objects)
    lines = [line for line in page(program, kubeconfig).splitlines() if line and not line.startswith("# HELP")]
    recorded = {"version": "kube-state-metrics 2.15.0 on Kubernetes 1.36.3", "objects": found, "page": lines}
    (HERE / "recorded.json").write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


main()

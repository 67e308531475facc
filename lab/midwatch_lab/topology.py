"""Manifests of the service that incidents happen to: a chat model behind a Service."""

from midwatch_lab.objects import Object


def chat_topology(  # noqa: PLR0917 (a topology, spelt out)
    namespace: str = "llm",
    name: str = "chat",
    replicas: int = 3,
    blocks: int = 256,
    max_num_seqs: int = 4,
    cpu_limit: str = "250m",
    container: str = "engine",
    port: int = 8000,
    fine_buckets: bool = True,  # noqa: FBT001, FBT002 (by keyword)
) -> list[Object]:
    """Return Namespace, Deployment and Service of a chat model.

    Args:
        namespace: where.
        name: of the Deployment and the Service, and the model's.
        replicas: how many pods.
        blocks: KV cache blocks of each engine.
        max_num_seqs: sequences in a batch.
        cpu_limit: cores of each pod, as a quantity; the engine stretches its steps to keep within it.
        container: the container's name.
        port: of the container and the Service.
        fine_buckets: whether the engine's histograms of times have finer boundaries.
    """
    labels = {"app.kubernetes.io/name": name}
    arguments = [
        f"--served-model-name={name}",
        f"--max-num-seqs={max_num_seqs}",
        f"--num-gpu-blocks-override={blocks}",
        *(["--fine-buckets"] if fine_buckets else []),
    ]
    engine: Object = {
        "name": container,
        "image": "midwatch/serving:0.1",
        "args": arguments,
        "ports": [{"name": "http", "containerPort": port}],
        "resources": {"limits": {"cpu": cpu_limit}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 2},
    }
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [engine], "terminationGracePeriodSeconds": 10},
                },
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"name": "http", "port": port, "targetPort": "http"}]},
        },
    ]

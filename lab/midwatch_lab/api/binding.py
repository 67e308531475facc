"""The `binding` subresource of pods: how a scheduler says on which node a pod is to run."""

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.api.writing import Written, succeeded
from midwatch_lab.controllers.scheduler import bind
from midwatch_lab.objects import dig
from midwatch_lab.registry.registry import Registry


async def serve(registry: Registry, call: Call) -> Written:
    """Bind the pod to the node that the body's target names.

    Raises:
        ApiError: 400 without a node, 404 without a pod, 409 when the pod is bound already.
    """
    body = await call.body_object()
    node = dig(body, "target", "name", default="")
    if not node:
        raise status.bad_request("a Binding names its node in target.name")
    pod = registry.read(call.resource, call.target.namespace, call.target.name)
    bound = dig(pod, "spec", "nodeName")
    if bound:
        raise status.conflict(call.resource, call.target.name, f'pod is already assigned to node "{bound}"')
    bind(registry, pod, str(node), call.origin())
    return succeeded()

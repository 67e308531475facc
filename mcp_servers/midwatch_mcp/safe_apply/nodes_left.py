"""Whether a plan leaves a node for new pods to run on."""

from collections.abc import Sequence

from midwatch_mcp.safe_apply.errors import TargetError
from midwatch_mcp.safe_apply.gone import Step
from midwatch_mcp.safe_apply.pods import Object
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.values import lookup


async def left_without_nodes(steps: Sequence[Step], api: TargetApi) -> list[str]:
    """Return why no new pod could run anywhere after a plan that cordons nodes; empty where some node is left."""
    cordoned = {str(step.before["metadata"]["name"]) for step in steps if step.kind == "Node" and not _open(step.after)}
    if not cordoned:
        return []
    try:
        nodes = await api.objects("Node", "")
    except TargetError as error:
        return [f"nodes are cordoned, and which are left cannot be listed ({error})"]
    left = [node for node in nodes if _open(node) and node["metadata"]["name"] not in cordoned]
    return [] if left else ["no node is left on which new pods could run"]


def _open(node: Object) -> bool:
    return lookup(node, "/spec/unschedulable") != [True]

"""`set_image`: other images for containers of a workload."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WORKLOADS, OperationKind, Touched, Undo
from midwatch_mcp.safe_apply.operations.pod_template import container_of
from midwatch_mcp.safe_apply.ports import Write

Image = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,511}$")]


class SetImage(Model):
    """`images`: new image by container, init containers too."""

    images: dict[str, Image] = Field(min_length=1)


class SetImageOperation(OperationKind[SetImage]):
    """Replace `image`."""

    name = "set_image"
    about = "other images for containers of a workload; its pods restart"
    undone_by = "the images as they were"
    example = {"images": {"engine": "vllm/vllm-openai:v0.11.0"}}  # noqa: RUF012 (ClassVar of the base)
    kinds = tuple(WORKLOADS)
    arguments = SetImage

    def touched(self, args: SetImage, value: Mapping[str, Any]) -> Touched:
        """Return each image as it is."""
        found = [container_of(value, name) for name in args.images]
        return {f"{one.place}/image": [one.spec["image"]] if "image" in one.spec else [] for one in found}

    def pointers(self, args: SetImage, value: Mapping[str, Any]) -> list[str]:
        """Return where the images stand."""
        return [f"{container_of(value, name).pointer}/image" for name in args.images]

    def request(self, args: SetImage, value: Mapping[str, Any]) -> Write:
        """Return a JSON patch of the images."""
        found = [(container_of(value, name), image) for name, image in args.images.items()]
        return Write("json", [{"op": "add", "path": f"{one.pointer}/image", "value": image} for one, image in found])

    def undo(self, args: SetImage, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the images as they were."""
        del after
        return self.name, {"images": {name: container_of(before, name).spec.get("image", "") for name in args.images}}

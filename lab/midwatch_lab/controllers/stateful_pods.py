"""The pods and claims of a StatefulSet: names that last, an index in the labels, and a volume for each claim."""

from typing import Final

from midwatch_lab.controllers.history import REVISION_HASH, template_in
from midwatch_lab.controllers.pod_control import pod_of
from midwatch_lab.kinds.workload_validation import with_claims
from midwatch_lab.objects import Object, copied, dig, is_terminating, labels_of, name_of, namespace_of, owner_reference

POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
_DELETE: Final = "Delete"


def first_ordinal(stateful_set: Object) -> int:
    """Return the ordinal of the first pod."""
    return int(dig(stateful_set, "spec", "ordinals", "start", default=0))


def ordinals(stateful_set: Object) -> range:
    """Return the ordinals that there are to be pods of."""
    first = first_ordinal(stateful_set)
    return range(first, first + int(dig(stateful_set, "spec", "replicas", default=0)))


def ordinal_of(stateful_set: Object, pod: Object) -> int:
    """Return the ordinal in a pod's name, -1 where there is none."""
    prefix, _, number = name_of(pod).rpartition("-")
    return int(number) if prefix == name_of(stateful_set) and number.isdecimal() else -1


def claim_names(stateful_set: Object, ordinal: int) -> dict[str, str]:
    """Return the names of the claims of one pod, by the names of their templates."""
    claims: list[Object] = dig(stateful_set, "spec", "volumeClaimTemplates", default=[])
    names = [str(dig(claim, "metadata", "name", default="")) for claim in claims]
    return {name: f"{name}-{name_of(stateful_set)}-{ordinal}" for name in names}


def numbered_pod(stateful_set: Object, revision: Object, ordinal: int) -> Object:
    """Return the pod of an ordinal, of the template that a revision holds."""
    spec: Object = dig(stateful_set, "spec", default={})
    template: Object = with_claims({**spec, "template": template_in(revision)})["template"]
    pod = pod_of(stateful_set, template, f"{name_of(stateful_set)}-{ordinal}")
    names = claim_names(stateful_set, ordinal)
    for volume in pod["spec"].get("volumes", []):
        if volume.get("name") in names:
            volume["persistentVolumeClaim"] = {"claimName": names[volume["name"]]}
    pod["spec"] |= {"hostname": name_of(pod), "subdomain": spec.get("serviceName", "")}
    identify(stateful_set, pod)
    pod["metadata"]["labels"][REVISION_HASH] = name_of(revision)
    return pod


def identify(stateful_set: Object, pod: Object) -> None:
    """Give a pod the labels that say which of the set it is (in place)."""
    own = {POD_NAME: name_of(pod), POD_INDEX: str(ordinal_of(stateful_set, pod))}
    pod["metadata"]["labels"] = {**labels_of(pod), **own}


def claims_of(stateful_set: Object, ordinal: int) -> list[Object]:
    """Return the claims of one pod, as they are to be made."""
    names = claim_names(stateful_set, ordinal)
    selected: dict[str, str] = dig(stateful_set, "spec", "selector", "matchLabels", default={})
    made: list[Object] = []
    for template in dig(stateful_set, "spec", "volumeClaimTemplates", default=[]):
        claim: Object = copied({key: template[key] for key in ("metadata", "spec") if key in template})
        metadata = claim["metadata"]
        metadata |= {"name": names[metadata["name"]], "labels": {**metadata.get("labels", {}), **selected}}
        metadata["namespace"] = namespace_of(stateful_set)
        made.append(claim)
    return made


def claim_owners(stateful_set: Object, claim: Object, pod: Object | None, *, condemned: bool) -> list[Object]:
    """Return the owner references that a claim is to have: with whom it is to be deleted, as the policy says."""
    policy: Object = dig(stateful_set, "spec", "persistentVolumeClaimRetentionPolicy", default={})
    ours = {str(dig(stateful_set, "metadata", "uid")), str(dig(pod, "metadata", "uid"))}
    kept = [
        owner
        for owner in dig(claim, "metadata", "ownerReferences", default=[])
        if owner.get("uid") not in ours and owner.get("kind") not in ("StatefulSet", "Pod")
    ]
    if condemned and policy.get("whenScaled") == _DELETE and pod is not None and not is_terminating(pod):
        return [*kept, owner_reference(pod)]
    if policy.get("whenDeleted") == _DELETE and not condemned:
        return [*kept, owner_reference(stateful_set)]
    if condemned and policy.get("whenScaled") == _DELETE:
        return dig(claim, "metadata", "ownerReferences", default=[])
    return kept

"""Rules of roles and of their bindings."""

from typing import Final

from midwatch_lab import names
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object
from midwatch_lab.status import invalid_value, required, unsupported

GROUP: Final = "rbac.authorization.k8s.io"
_KINDS: Final = {"RoleBinding": ("Role", "ClusterRole"), "ClusterRoleBinding": ("ClusterRole",)}
_SUBJECTS: Final = {"ServiceAccount": "", "User": GROUP, "Group": GROUP}
"""Each kind of subject with the API group that it is of."""


def role(obj: Object) -> Faults:
    """Check a Role."""
    yield from _rules(obj, namespaced=True)


def cluster_role(obj: Object) -> Faults:
    """Check a ClusterRole."""
    yield from _rules(obj, namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is None:
        return
    path = "aggregationRule.clusterRoleSelectors"
    selectors: list[Object] = aggregation.get("clusterRoleSelectors", [])
    if not selectors:
        yield required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")
    for index, selector in enumerate(selectors):
        faults = list(rules.label_selector(selector, f"{path}[{index}]"))
        yield from faults
        if faults:
            yield invalid_value(f"{path}[{index}]", None, "invalid label selector.")


def _rules(obj: Object, *, namespaced: bool) -> Faults:
    for index, rule in enumerate(obj.get("rules") or []):
        yield from _rule(rule, f"rules[{index}]", namespaced=namespaced)


def _rule(rule: Object, path: str, *, namespaced: bool) -> Faults:
    if not rule.get("verbs"):
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    urls = rule.get("nonResourceURLs")
    if urls:
        if namespaced:
            detail = "namespaced rules cannot apply to non-resource URLs"
            yield invalid_value(f"{path}.nonResourceURLs", urls, detail)
        if any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            yield invalid_value(f"{path}.nonResourceURLs", urls, detail)
        return
    if not rule.get("apiGroups"):
        yield required(f"{path}.apiGroups", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield required(f"{path}.resources", "resource rules must supply at least one resource")


def binding(obj: Object) -> Faults:
    """Check a RoleBinding or a ClusterRoleBinding."""
    reference: Object = obj.get("roleRef", {})
    group, kind, name = (str(reference.get(key, "")) for key in ("apiGroup", "kind", "name"))
    if group != GROUP:
        yield unsupported("roleRef.apiGroup", group, [GROUP])
    kinds = _KINDS[obj["kind"]]
    if kind not in kinds:
        yield unsupported("roleRef.kind", kind, kinds)
    if not name:
        yield required("roleRef.name")
    elif fault := names.path_segment_fault(name):
        yield invalid_value("roleRef.name", name, fault)
    for index, subject in enumerate(obj.get("subjects", [])):
        yield from _subject(subject, f"subjects[{index}]", needs_namespace=obj["kind"] == "ClusterRoleBinding")


def _subject(subject: Object, path: str, *, needs_namespace: bool) -> Faults:
    kind, name, group = (str(subject.get(key, "")) for key in ("kind", "name", "apiGroup"))
    if not name:
        yield required(f"{path}.name")
    if kind not in _SUBJECTS:
        yield unsupported(f"{path}.kind", kind, list(_SUBJECTS))
        return
    if kind == "ServiceAccount" and name and (fault := names.dns_subdomain_fault(name)):
        yield invalid_value(f"{path}.name", name, fault)
    if group != _SUBJECTS[kind]:
        yield unsupported(f"{path}.apiGroup", group, [_SUBJECTS[kind]])
    if kind == "ServiceAccount" and needs_namespace and not subject.get("namespace"):
        yield required(f"{path}.namespace")


def binding_update(new: Object, old: Object) -> Faults:
    """Check that a binding goes on giving the same role."""
    if new.get("roleRef") != old.get("roleRef"):
        reference: Object = new.get("roleRef", {})
        # The original shows its own structure, whose fields have capitals.
        shown = {"APIGroup": "apiGroup", "Kind": "kind", "Name": "name"}
        value = {title: reference.get(key, "") for title, key in shown.items()}
        yield invalid_value("roleRef", value, "cannot change roleRef")

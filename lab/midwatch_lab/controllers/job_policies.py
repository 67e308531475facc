"""What ends a Job early: its pod failure policy, its success policy, its deadline and its limits of failures."""

from dataclasses import dataclass
from typing import Any, Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.job_pods import Tally, has_failed, restarts_of
from midwatch_lab.job_indexes import read_indexes
from midwatch_lab.objects import Object, dig, name_of, namespace_of

_REACHED: Final = "CompletionsReached"


@dataclass(frozen=True)
class Verdict:
    """Why a Job is to end: `kind` is Complete or Failed."""

    kind: str
    reason: str
    message: str

    @property
    def target(self) -> str:
        """The condition that announces the end while pods are still ending."""
        return "SuccessCriteriaMet" if self.kind == "Complete" else "FailureTarget"


COMPLETE: Final = Verdict("Complete", _REACHED, "Reached expected number of succeeded pods")


def rule_of(job: Object, pod: Object) -> tuple[str, str]:
    """Return the action of the first rule of the pod failure policy that a pod fits, and the words for it."""
    if dig(pod, "status", "phase") != "Failed":
        return "Count", ""
    place = f"{namespace_of(pod)}/{name_of(pod)}"
    for number, rule in enumerate(dig(job, "spec", "podFailurePolicy", "rules", default=[])):
        action = str(rule.get("action", ""))
        if "onExitCodes" in rule:
            found = _exit_code(rule["onExitCodes"], pod)
            if found is not None:
                container, code = found
                what = f"Container {container} for pod {place} failed with exit code {code}"
                return action, f"{what} matching {action} rule at index {number}"
        for pattern in rule.get("onPodConditions", []):
            if _has_condition(pattern, pod):
                what = f"Pod {place} has condition {pattern.get('type')}"
                return action, f"{what} matching {action} rule at index {number}"
    return "Count", ""


def _exit_code(wanted: Object, pod: Object) -> tuple[str, int] | None:
    for item in [
        *dig(pod, "status", "containerStatuses", default=[]),
        *dig(pod, "status", "initContainerStatuses", default=[]),
    ]:
        code: Any = dig(item, "state", "terminated", "exitCode")
        named = wanted.get("containerName")
        if not code or (named is not None and named != item.get("name")):
            continue
        if (code in wanted.get("values", [])) == (wanted.get("operator") == "In"):
            return str(item.get("name", "")), int(code)
    return None


def _has_condition(pattern: Object, pod: Object) -> bool:
    return any(
        item.get("type") == pattern.get("type") and item.get("status") == pattern.get("status")
        for item in dig(pod, "status", "conditions", default=[])
    )


def verdict(tally: Tally, succeeded: int, failed: int, now: float) -> Verdict | None:
    """Return why a Job is to end, None while it is not; the counts hold also what is not counted yet."""
    return (
        _by_failure_policy(tally)
        or _by_limits(tally, failed)
        or _by_deadline(tally.job, now)
        or _by_failed_indexes(tally)
        or _by_success_policy(tally)
        or _by_completions(tally, succeeded)
    )


def _by_failure_policy(tally: Tally) -> Verdict | None:
    if "podFailurePolicy" not in tally.job["spec"]:
        return None
    for pod in tally.pods:
        action, words = rule_of(tally.job, pod)
        if action == "FailJob" and has_failed(tally.job, pod):
            return Verdict("Failed", "PodFailurePolicy", words)
    return None


def _by_limits(tally: Tally, failed: int) -> Verdict | None:
    limit = int(dig(tally.job, "spec", "backoffLimit", default=6))
    restarted = restarts_of(tally.pods)
    again = dig(tally.job, "spec", "template", "spec", "restartPolicy") == "OnFailure"
    if failed > limit or (again and restarted and restarted >= limit):
        return Verdict("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    return None


def deadline_of(job: Object) -> float | None:
    """Return when the time of a Job is up (Unix seconds), None where it has not begun or has no limit."""
    limit, start = dig(job, "spec", "activeDeadlineSeconds"), dig(job, "status", "startTime")
    if limit is None or start is None or dig(job, "spec", "suspend"):
        return None
    return unix_seconds(start) + limit


def _by_deadline(job: Object, now: float) -> Verdict | None:
    end = deadline_of(job)
    if end is None or now < end:
        return None
    return Verdict("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")


def _by_failed_indexes(tally: Tally) -> Verdict | None:
    failed = tally.failed_indexes()
    limit = dig(tally.job, "spec", "maxFailedIndexes")
    if limit is not None and len(failed) > limit:
        text = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict("Failed", "MaxFailedIndexesExceeded", text)
    done = len(failed) + len(tally.succeeded_indexes())
    if failed and done >= int(dig(tally.job, "spec", "completions", default=0)):
        return Verdict("Failed", "FailedIndexes", "Job has failed indexes")
    return None


def _by_success_policy(tally: Tally) -> Verdict | None:
    wanted = int(dig(tally.job, "spec", "completions", default=0))
    rules: list[Object] = dig(tally.job, "spec", "successPolicy", "rules", default=[])
    for number, rule in enumerate(rules):
        done = tally.succeeded_indexes()
        chosen = rule.get("succeededIndexes")
        among = set(read_indexes(chosen, wanted)) if chosen is not None else set(range(wanted))
        if len(done & among) >= rule.get("succeededCount", len(among)):
            return Verdict("Complete", "SuccessPolicy", f"Matched rules at index {number}")
    return None


def _by_completions(tally: Tally, succeeded: int) -> Verdict | None:
    wanted = dig(tally.job, "spec", "completions")
    if wanted is None:
        return COMPLETE if succeeded and not tally.active else None
    return COMPLETE if succeeded >= wanted else None

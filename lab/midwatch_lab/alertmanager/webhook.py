"""What is posted to a webhook, version 4 of Alertmanager's format, and the posting."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

import httpx2
import orjson

from midwatch_lab.alertmanager.alerts import Alert, common
from midwatch_lab.alertmanager.config import Webhook

_LOG = logging.getLogger(__name__)
_NEVER: Final = "0001-01-01T00:00:00Z"
_AGENT: Final = "Alertmanager/midwatch-lab"


def moment(seconds: float) -> str:
    """Return a time as Go writes it in JSON: no more digits than it has."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
    return (text.rstrip("0").rstrip(".") if "." in text else text) + "Z"


@dataclass(frozen=True)
class Notification:
    """What one receiver is told of one group at a time."""

    receiver: str
    group_key: str
    group_labels: Mapping[str, str]
    alerts: Sequence[Alert]
    at_s: float
    external_url: str

    def message(self, most: int) -> dict[str, Any]:
        """Return the body; `most` alerts at the most (0: all), and those alone count for what is common."""
        alerts = list(self.alerts[:most] if most else self.alerts)
        firing = any(not alert.resolved(self.at_s) for alert in alerts)
        return {
            "receiver": self.receiver,
            "status": "firing" if firing else "resolved",
            "alerts": [self._alert(alert) for alert in alerts],
            "groupLabels": dict(self.group_labels),
            "commonLabels": common(alert.labels for alert in alerts),
            "commonAnnotations": common(alert.annotations for alert in alerts),
            "externalURL": self.external_url,
            "version": "4",
            "groupKey": self.group_key,
            "truncatedAlerts": len(self.alerts) - len(alerts),
        }

    def _alert(self, alert: Alert) -> dict[str, Any]:
        resolved = alert.resolved(self.at_s)
        return {
            "status": "resolved" if resolved else "firing",
            "labels": dict(sorted(alert.labels.items())),
            "annotations": dict(sorted(alert.annotations.items())),
            "startsAt": moment(alert.starts_at),
            "endsAt": moment(alert.ends_at) if resolved else _NEVER,
            "generatorURL": alert.generator_url,
            "fingerprint": alert.fingerprint,
        }


class Post(Protocol):
    """Posts a message."""

    async def __call__(self, webhook: Webhook, message: Mapping[str, Any]) -> int | None:
        """Return the HTTP code of the answer, None where there is none."""
        ...


async def post(webhook: Webhook, message: Mapping[str, Any]) -> int | None:
    """Post a message over HTTP, within the webhook's timeout on the wall clock."""
    headers = {"Content-Type": "application/json", "User-Agent": _AGENT, **dict(webhook.headers)}
    try:
        async with httpx2.AsyncClient(
            trust_env=False,
            timeout=webhook.timeout_s,
            follow_redirects=webhook.follow_redirects,
            auth=webhook.basic_auth,
        ) as client:
            answer = await client.post(webhook.url, content=orjson.dumps(dict(message)), headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        _LOG.warning("the webhook %s cannot be reached: %s", webhook.url, error or type(error).__name__)
        return None
    return answer.status_code


def accepted(code: int | None) -> bool:
    """Say whether a notification arrived."""
    return code is not None and HTTPStatus.OK <= code < HTTPStatus.MULTIPLE_CHOICES


def worth_another_try(code: int | None) -> bool:
    """Say whether it may arrive later: nobody answered, or the answer was 5xx."""
    return code is None or code >= HTTPStatus.INTERNAL_SERVER_ERROR

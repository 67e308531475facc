"""Alerts as Prometheus and Alertmanager write them."""

from pydantic import Field

from midwatch_contracts.model import Model


class Alert(Model):
    """One firing alert. Labels and annotations are text from outside."""

    labels: dict[str, str]
    annotations: dict[str, str] = Field(default_factory=dict)
    starts_at: str | None = None
    """RFC 3339."""

    @property
    def name(self) -> str:
        """The label `alertname`, or an empty string."""
        return self.labels.get("alertname", "")

"""The lab's Alertmanager, put together: told by the rules, asked over HTTP."""

from dataclasses import dataclass
from urllib.parse import quote_plus

from midwatch_contracts.clock import Clock
from midwatch_lab.alertmanager.alerts import Alert
from midwatch_lab.alertmanager.config import Config
from midwatch_lab.alertmanager.dispatcher import Dispatcher
from midwatch_lab.alertmanager.webhook import Post, post
from midwatch_lab.metrics.alerts import RESEND_S
from midwatch_lab.metrics.rules import Rules, RuleState

_MISSED = 4
"""How many times an alert may fail to be told again before it counts as over."""


@dataclass(frozen=True)
class Alertmanager:
    """A dispatcher and the rules that tell it of alerts."""

    dispatcher: Dispatcher
    rules: Rules

    @classmethod
    def over(cls, rules: Rules, clock: Clock, config: Config, post: Post = post) -> "Alertmanager":
        """Have rules tell a new Alertmanager of their alerts."""
        found = cls(Dispatcher(clock, config, post), rules)
        rules.notify = found.told
        return found

    def told(self, state: RuleState, now: float, interval_s: float) -> None:
        """Take in what a rule has to tell at `now`."""
        until = now + _MISSED * max(RESEND_S, interval_s)
        link = f"{self.rules.external_url}/graph?g0.expr={quote_plus(state.rule.query, safe='')}&g0.tab=1"
        self.dispatcher.receive(
            Alert(
                {**self.rules.external_labels, **one.labels},
                dict(one.annotations),
                one.fired_at,
                until if one.resolved_at is None else one.resolved_at,
                link,
                now,
            )
            for one in state.alerts.due(now)
        )

    async def run(self) -> None:
        """Tell receivers until cancelled."""
        await self.dispatcher.run()

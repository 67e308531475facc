"""The errors of evals.

EvalError                  an incident cannot be set up, run or judged
├── ScenarioError          a scenario file is not what CONTRACTS §11 says
└── IncidentError          the incident did not come about: no load, no alert, a lab that did not start
"""


class EvalError(Exception):
    """An incident cannot be set up, run or judged; the message names the mend."""


class ScenarioError(EvalError):
    """A scenario file is not what CONTRACTS §11 says; the message names file, field and mend."""


class IncidentError(EvalError):
    """The incident did not come about, so that nothing can be said of the assistant."""

"""The errors of the contracts.

ContractError                 what was handed over does not fit the contract
├── CanonicalError            a value has no canonical JSON form
├── VocabularyError           an entity or mechanism is not written as the contract says
├── CelError                  an expression does not parse, or does not fit its names (carries a position)
├── PromqlError               a query does not parse (carries a position)
└── UnknownResourceError      a provider has no document of that URI
"""


class ContractError(ValueError):
    """What was handed over does not fit the contract; the message names the value and the mend."""


class CanonicalError(ContractError):
    """A value has no canonical JSON form."""


class VocabularyError(ContractError):
    """An entity or a mechanism is not written as CONTRACTS §1 says."""


class CelError(ContractError):
    """A CEL expression does not parse, does not fit its names, or fails on its values.

    `position` is the zero-based character offset into the expression, or None when it as a whole is at fault.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class PromqlError(ContractError):
    """A PromQL query does not parse.

    `position` is the zero-based character offset into the query, or None when the query as a whole is at fault.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class UnknownResourceError(ContractError):
    """A provider has no document of that URI; the message says which there are, or what lists them."""

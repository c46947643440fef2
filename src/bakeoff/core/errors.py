"""The errors that bakeoff raises on purpose; each is also of the standard type that fits it.

    BakeoffError
    ├── UsageError        (ValueError)       the call makes no sense; exit code 2
    │   └── OptionError                      an option of a call that cannot be had; `option` names it
    ├── ConfigError       (ValueError)       problems of a project file, all together
    ├── DataError         (ValueError)       rows, columns or files that cannot be used
    │   ├── ContractError                    rows that violate the data contract; exit code 3
    │   └── ContextLengthError               a text of more tokens than the model reads
    ├── NotFoundError     (LookupError)      a name, id or version that does not exist
    ├── ConflictError     (RuntimeError)     somebody else changed or holds it
    ├── CandidateError    (RuntimeError)     a candidate cannot be fitted or used
    │   └── BudgetError                      what may be paid for answers is paid
    ├── StoreError        (OSError)          storage failed or lacks room
    │   ├── CorruptError                     stored bytes do not match their checksum
    │   └── MissingKeyError                  stored bytes are encrypted with a key that is not here
    ├── MissingExtraError (ImportError)      an optional dependency is not installed
    ├── SecurityError     (PermissionError)  refused: unsafe path, archive or bind
    └── GateError         (RuntimeError)     a gate failed; exit code 3

To add one: derive from the closest of these and a standard type, say in the message what was expected,
what was received (`repr`) and what to do next, and keep it picklable (arguments in `args`).
"""

from dataclasses import dataclass

__all__ = [
    "BakeoffError",
    "BudgetError",
    "CandidateError",
    "ConfigError",
    "ConflictError",
    "ContextLengthError",
    "ContractError",
    "CorruptError",
    "DataError",
    "GateError",
    "MissingExtraError",
    "MissingKeyError",
    "NotFoundError",
    "OptionError",
    "OutOfBudget",
    "Problem",
    "SecurityError",
    "StoreError",
    "UsageError",
]


class BakeoffError(Exception):
    """The root of every error that bakeoff raises on purpose.

    Example:
        >>> try:
        ...     raise DataError("row 3, column 'size': expected a number, received 'big'")
        ... except BakeoffError as error:
        ...     print(error, error.exit_code, isinstance(error, ValueError))
        row 3, column 'size': expected a number, received 'big' 1 True
    """

    exit_code = 1


class UsageError(BakeoffError, ValueError):
    """The call itself makes no sense."""

    exit_code = 2


class OptionError(UsageError):
    """An option of a call that whoever answers it cannot honour; `option` is its name."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(option, message)
        self.option = option

    def __str__(self) -> str:
        return f"{self.option}: {self.args[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a project file: where (`file`, dotted `key`), what was expected, what was found."""

    file: str
    key: str
    expected: str
    found: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}: {self.key}" if self.key else self.file
        hint = f" {self.hint}" if self.hint else ""
        return f"{where}: expected {self.expected}, found {self.found}.{hint}"


class ConfigError(BakeoffError, ValueError):
    """A project file that cannot be used; `problems` lists all that is wrong with it."""

    exit_code = 2

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class DataError(BakeoffError, ValueError):
    """Rows, columns or files that cannot be used."""


class ContractError(DataError):
    """Rows that violate the data contract; `violations` names each as plain values, for programs."""

    exit_code = 3

    def __init__(self, message: str, violations: tuple[dict[str, str | int | None], ...] = ()) -> None:
        super().__init__(message, violations)
        self.violations = violations

    def __str__(self) -> str:
        return str(self.args[0])


class ContextLengthError(DataError):
    """A text of more tokens than the model reads."""


class NotFoundError(BakeoffError, LookupError):
    """A name, id or version that does not exist."""


class ConflictError(BakeoffError, RuntimeError):
    """Somebody else changed or holds what was to be changed."""


class CandidateError(BakeoffError, RuntimeError):
    """A candidate that cannot be fitted or used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfBudget:
    """Why answers end: of what the budget in `setting` allows, so much was paid."""

    setting: str
    limit_usd: float
    paid_usd: float

    @property
    def sentence(self) -> str:
        """What happened to the candidate, and what to do about it."""
        more = "" if self.setting.startswith("[cost]") else "raise it and "  # that of a run begins anew with each
        return (
            f"left out, as its answers may cost no more: ${self.paid_usd:.4f} of ${self.limit_usd:g} are paid "
            f"({self.setting}); the answers are kept: {more}run again to go on"
        )


class BudgetError(CandidateError):
    """What may be paid for answers is paid; what was answered is kept. `why` has the figures."""

    def __init__(self, message: str, why: OutOfBudget | None = None) -> None:
        super().__init__(message)
        self.why = why


class StoreError(BakeoffError, OSError):
    """Storage failed or lacks room."""


class CorruptError(StoreError):
    """Stored bytes do not match their checksum."""


class MissingKeyError(StoreError):
    """Stored bytes are encrypted with a key that is not here."""


class MissingExtraError(BakeoffError, ImportError):
    """An optional dependency is not installed."""

    @classmethod
    def of(cls, what: str, extra: str, module: str) -> "MissingExtraError":
        """The one line that names the install command for `extra`."""
        return cls(f'{what} needs the module {module!r}: pip install "bakeoff[{extra}]"')


class SecurityError(BakeoffError, PermissionError):
    """Refused because it is unsafe."""


class GateError(BakeoffError, RuntimeError):
    """A quality gate failed."""

    exit_code = 3

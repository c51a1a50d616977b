"""The result of an operator on a pipeline: a mistake, and where it should be found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A text with one mistake.

    The mistake is located by an error at any of the pointers in `at`, and on `line` if that is given; if `at` is empty,
    the text cannot be parsed, and only the line counts. `connections` is given if the mistake is in that file.
    """

    text: str
    at: tuple[str, ...] = ()
    line: int | None = None
    connections: str | None = None


@dataclass(frozen=True)
class Operator:
    """A kind of mistake.

    `stage` is the first command that can detect it: `compile` if that needs the columns of the sources. A mistake of
    severity `note` is allowed, but must be reported.
    """

    name: str
    mutants: object
    stage: str = "validate"
    severity: str = "error"


OPERATORS = {}


def operator(stage="validate", severity="error"):
    def register(function):
        assert function.__name__ not in OPERATORS, function.__name__
        OPERATORS[function.__name__] = Operator(function.__name__, function, stage, severity)
        return function

    return register

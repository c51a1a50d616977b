"""The generators of all compiled functions."""

from tests.kernels import (  # noqa: F401  they enter themselves
    csv_block_inputs,
    csv_inputs,
    digest_inputs,
    mysql_inputs,
    postgres_inputs,
    writer_inputs,
)
from tests.kernels.cases import GENERATORS

__all__ = ["GENERATORS"]

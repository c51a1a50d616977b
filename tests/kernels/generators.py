"""The generators of all twins."""

from tests.kernels import csv_block_inputs, csv_inputs, digest_inputs, mysql_inputs, postgres_inputs  # noqa: F401  they enter themselves
from tests.kernels.cases import GENERATORS

__all__ = ["GENERATORS"]

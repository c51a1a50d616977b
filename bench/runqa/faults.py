"""All faults, each caused in its own project."""

from __future__ import annotations

from bench.runqa.faults_of_data import DATA
from bench.runqa.faults_of_runs import RUNS
from bench.runqa.faults_of_sources import SOURCES

FAULTS = (*SOURCES, *DATA, *RUNS)

"""All faults, each brought about in a project of its own."""

from __future__ import annotations

from bench.runqa.faults_of_data import DATA
from bench.runqa.faults_of_runs import RUNS
from bench.runqa.faults_of_sources import SOURCES

FAULTS = (*SOURCES, *DATA, *RUNS)

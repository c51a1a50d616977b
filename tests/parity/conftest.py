"""A case is compiled once, and copies of its project are run on each target."""

import shutil

import pytest
from tests.parity.cases import lay_out

TARGETS = ("local", "bwrap", "e2b")
ONE_BY_ONE = {"OSIRIS_RUN__PARALLEL": "1", "OSIRIS_RUN__THREADS": "1"}


@pytest.fixture
def run_everywhere(osiris, tmp_path, e2b):
    """Compile a case once and run copies of its project on each target; gives folder and process by target."""

    def call(name, case, env=None, prepare=lay_out, start=osiris):
        first = tmp_path / "compiled" / "project"
        prepare(first)
        case.prepare(first)
        (first / "case.yaml").write_text(case.text(name))
        environment = ONE_BY_ONE | e2b.environment | (env or {})
        compiled = osiris("compile", "case.yaml", cwd=first, env=environment)
        assert compiled.returncode == 0, compiled.stderr
        case.breaks(first)
        done = {}
        for target in TARGETS:
            folder = tmp_path / target / "project"
            shutil.copytree(first, folder, symlinks=True)
            words = ("run", "--last-compile", "--run-id", "fixed", "--target", target, "--verbose")
            done[target] = folder, start(*words, cwd=folder, env=environment)
        return done

    return call

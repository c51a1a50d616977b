import os
from pathlib import Path

import pytest
import yaml

from osiris.errors import OsirisError
from osiris.files import open_source, publish
from osiris.path_policy import PathPolicy, format_of, key_files
from osiris.project import Project
from osiris.registry import load_registry
from osiris.runner.remote.bundle import refuse_outside
from osiris.runner.remote.sandbox_scope import SandboxScope


def refused(ask, *arguments):
    """Return the code of a rejection; None if the path is allowed."""
    try:
        assert isinstance(ask(*arguments), Path)
    except OsirisError as error:
        (found,) = error.diagnostics
        return found.code
    return None


def reading(root, path, **lists):
    return refused(PathPolicy(**lists).readable, root, root / path)


def writing(root, path, kind=None, **lists):
    return refused(PathPolicy(**lists).writable, root, root / path, kind)


def test_the_files_of_a_project_are_kept_back(tmp_path):
    project = Project(tmp_path)
    for path in (project.env_file, project.config_file, project.connections_file, project.lock_file, project.cache):
        assert reading(tmp_path, path) == writing(tmp_path, path) == "DRV049"
    for path in (project.logs / "a" / "x.csv", project.pipelines / "x.csv", project.build / "x" / "y.csv"):
        assert reading(tmp_path, path) is None
        assert writing(tmp_path, path, "csv") == "DRV049"


@pytest.mark.parametrize(
    "path", ["Pipelines/x.csv", "BUILD/x.csv", "logs/x.csv", ".vscode/x.json", ".x.csv", "a/.b/c.csv"]
)
def test_hidden_places_and_those_of_the_project_are_not_written_in_any_spelling(tmp_path, path):
    assert writing(tmp_path, path) == "DRV049"


@pytest.mark.parametrize("path", ["OSIRIS.yaml", "Osiris.lock", ".ENV", ".git/config", "a/.netrc", ".pgpass"])
def test_hidden_files_are_not_read(tmp_path, path):
    assert reading(tmp_path, path) == "DRV049"


@pytest.mark.parametrize(
    "path", ["envy.csv", "logs.csv", "output/logs/x.csv", "sub/build/x.csv", "data/x.csv", "x.csv"]
)
def test_others_of_such_names_are_written(tmp_path, path):
    assert writing(tmp_path, path, "csv") is None


GOOD = {
    "csv": ["a.csv", "a.tsv", "a.txt", "a.CSV", "a.csv.gz", "a.txt.zst", "robot.txt", "my packages.txt", "access.csv"],
    "json": [
        "d/a.json",
        "a.jsonl",
        "a.ndjson.gz",
        "d/packages.json",
        "d/my.data.json",
        "d/tf.json",
        "d/turbos.json",
        "d/agents.json",
        "d/tasks.json",
        "d/policies.json",
        "a.json.gz",
    ],
    "parquet": ["a.parquet", "d/package.parquet"],
    "database": ["a.duckdb", "a.db", "a.sqlite", "a.sqlite3"],
    "folder": ["a", "a.d", "output/orders"],
}
BAD = {
    "csv": ["a.py", "Makefile", "a.csv.sh", "a.json", "a.gz", "a", "a.csv.gz.gz", "conftest.py", "a.csv\u200b"],
    "json": ["d/a.csv", "d/a.yaml", "d/a", "d/a.json5"],
    "parquet": ["a.parquet.gz", "a.csv", "a"],
    "database": ["a.so", "a.csv", "a.db.gz", "a"],
}
TOOLS = {
    "json": [
        *("a.json", "A.JSON", "d/package.json", "d/Package-Lock.json", "d/composer.json"),
        *("d/tsconfig.build.json", "d/vcpkg.json", "d/CMakePresets.json", "k/kernel.json"),
        *("d/main.tf.json", "d/x.auto.tfvars.json", "d/terraform.tfvars.json", "d/a.pkr.json", "d/a.pkrvars.json"),
        *("d/docker-bake.json", "d/docker-bake.override.json", "d/Dockerrun.aws.json", "d/docker-compose.json"),
        *("d/claude_desktop_config.json", "d/cline_mcp_settings.json", "d/mcp.json", "d/MCP.JSON"),
        *("d/cloudbuild.json", "d/buildspec.json", "d/appspec.json", "d/azure-pipelines.json", "d/taskfile.json"),
        *("d/import_map.json", "d/deno.json", "d/turbo.json", "d/nx.json", "d/project.json", "d/lerna.json"),
        *("d/renovate.json", "d/vercel.json", "d/firebase.json", "d/angular.json"),
        *("d/devcontainer.json", "d/bower.json", "d/appsettings.Production.json", "d/global.json", "d/manifest.json"),
        *("d/tauri.conf.json", "d/jest.config.json", "d/app.runtimeconfig.json", "d/app.deps.json", "d/Pulumi.json"),
        *("d/group_vars/all.json", "d/host_vars/db.json", "d/cookiecutter.json", "d/job.nomad.json", "d/x.hcl.json"),
    ],
    "csv": [
        *("requirements.txt", "Requirements.TXT", "d/dev-requirements.txt", "requirements_3.12.txt"),
        *("requirements/dev.txt", "Constraints.txt", "d/CMakeLists.txt", "cmakelists.txt", "CMakeCache.txt"),
        *("crontab.txt", "crontab-prod.TXT", "security/ir.model.access.csv", "modules.txt"),
        *("meson_options.txt", "conanfile.txt", "packages.txt", "x.dist-info/entry_points.txt", "a\nb/constraints.txt"),
    ],
    "folder": ["."],
}


def cases(table):
    return [(kind, path) for kind, paths in table.items() for path in paths]


@pytest.mark.parametrize(("kind", "path"), cases(GOOD))
def test_a_file_with_a_suffix_of_its_format_is_written(tmp_path, kind, path):
    assert writing(tmp_path, path, kind) is None


@pytest.mark.parametrize(("kind", "path"), cases(BAD))
def test_a_file_with_another_suffix_is_not(tmp_path, kind, path):
    assert writing(tmp_path, path, kind) == "DRV060"


@pytest.mark.parametrize(("kind", "path"), cases(TOOLS))
def test_a_file_that_other_programs_look_for_is_not_written(tmp_path, kind, path):
    assert writing(tmp_path, path, kind) == "DRV061"


def test_the_format_is_that_of_the_component():
    for name in ("csv", "json", "parquet"):
        assert format_of(f"filesystem.{name}_writer", "x") == name
        assert format_of(f"filesystem.{name}_writer", "x/") == "folder"
    assert format_of("duckdb.writer", "") == format_of("sqlite.writer", "") == "database"
    assert format_of("acme.rows", "x") is format_of("filesystem.odd_writer", "x") is None


def test_outside_of_the_project_only_what_is_listed_is_used(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root, other):
        folder.mkdir()
    (root / "way").symlink_to(other)
    for path in ("../other/x.csv", other / "x.csv", "way/x.csv"):
        assert reading(root, path) == writing(root, path) == "DRV059"
        assert reading(root, path, read=(str(other),)) is writing(root, path, "csv", write=("../other",)) is None
        assert reading(root, path, write=(str(other),)) == writing(root, path, read=(str(other),)) == "DRV059"
    assert reading(root, "../other/.ssh/x.csv", read=(str(tmp_path),)) == "DRV049"
    assert reading(root, ".env", read=(str(tmp_path),)) == "DRV049"
    assert reading(root, "../otherwise/x.csv", read=(str(other),)) == "DRV059"


@pytest.mark.parametrize("listed", [{}, {"read": ["/srv/in"]}])
def test_one_line_has_what_all_paths_need(tmp_path, listed):
    root, one, two = (tmp_path / name for name in ("root", "one", "two"))
    for folder in (root, one, two):
        folder.mkdir()
    paths = [(one / "a.csv", False), (two / "*.csv", False), (two / "b.csv", True), (root / "x.csv", True)]
    policy = PathPolicy.of(listed).requiring(root, paths)
    lines = set()
    for path, writing_it in paths[:3]:
        with pytest.raises(OsirisError) as caught:
            policy.writable(root, path, "csv") if writing_it else policy.readable(root, path)
        (found,) = caught.value.diagnostics
        verb, _, line = found.hint.partition(" this line in osiris.yaml:  ")
        assert verb.endswith("change" if listed else "add")
        lines.add(line)
    (line,) = lines
    wanted = {"read": [*listed.get("read", []), str(one), str(two)], "write": [str(two)]}
    assert yaml.safe_load(line) == {"paths": wanted}
    allowed = PathPolicy.of(wanted)
    assert [allowed.readable(root, path) for path, is_written in paths[:2] if not is_written]
    assert allowed.writable(root, two / "b.csv", "csv")


def test_the_refusal_shows_the_line_for_the_project(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    other.mkdir()
    with pytest.raises(OsirisError) as caught:
        PathPolicy(read=("/srv",)).readable(root, other / "*.csv")
    (found,) = caught.value.diagnostics
    assert found.hint.endswith(f'change this line in osiris.yaml:  paths: {{read: ["/srv", "{other}"]}}')


@pytest.mark.parametrize(
    "path", ["/proc/self/environ", "/proc/1/environ", "/sys/kernel/x", "/dev/null", "/dev/shm/x.csv"]
)
def test_what_the_system_shows_of_itself_is_never_used(tmp_path, path):
    (tmp_path / "x.csv").symlink_to(path)
    for each in (path, "x.csv", f"/proc/self/root{path}", f"{tmp_path}/../../../../../..{path}"):
        assert reading(tmp_path, each, read=("/",)) == writing(tmp_path, each, write=("/",)) == "DRV062"


def test_links_are_followed_on_both_sides(tmp_path):
    root, there = tmp_path / "root", tmp_path / "there"
    root.mkdir()
    there.write_text("A=1\n")
    (root / ".env").symlink_to(there)
    (tmp_path / "way").symlink_to(root)
    assert reading(root, there, read=(str(tmp_path),)) == "DRV049"
    assert reading(root, tmp_path / "way" / ".env") == "DRV049"
    assert reading(tmp_path / "way", root / ".env") == "DRV049"
    (root / "x.csv").symlink_to("pipelines/y.csv")
    assert writing(root, "x.csv", "csv") == "DRV049"
    (root / "x.db").symlink_to("Makefile")
    assert writing(root, "x.db", "database") == "DRV060"


KEPT_FILES = [
    ".env",
    ".git/deep/config",
    ".netrc",
    "osiris.yaml",
    "sub/.env",
    "a/b/c/.ssh/id",
    "a/.x/b/c.txt",
    "data/.a",
]


@pytest.mark.parametrize("kept", KEPT_FILES)
def test_another_name_of_a_file_that_is_kept_is_found(tmp_path, kept):
    path = tmp_path / kept
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("A=1\n")
    (tmp_path / "x.csv").hardlink_to(path)
    assert reading(tmp_path, "x.csv") == writing(tmp_path, "x.csv", "csv") == "DRV049"
    (tmp_path / "y.csv").write_text("a\n")
    (tmp_path / "z.csv").hardlink_to(tmp_path / "y.csv")
    assert reading(tmp_path, "z.csv") is writing(tmp_path, "z.csv", "csv") is None


def test_a_file_that_was_just_created_is_not_taken_for_a_hidden_one(tmp_path):
    """It still has the name under which it was written, while a step that runs at the same time looks at it."""
    (tmp_path / ".x.db.osiris-0123abcd.tmp").write_text("")
    (tmp_path / "x.db").hardlink_to(tmp_path / ".x.db.osiris-0123abcd.tmp")
    assert reading(tmp_path, "x.db") is writing(tmp_path, "x.db", "database") is None
    assert reading(tmp_path, ".x.db.osiris-0123abcd.tmp") == "DRV049"


def test_another_name_of_a_hidden_file_is_found_outside_of_the_project_too(tmp_path):
    root, lake = tmp_path / "project", tmp_path / "lake"
    root.mkdir()
    (lake / "deep").mkdir(parents=True)
    (lake / "deep" / ".env").write_text("A=1\n")
    (lake / "x.csv").hardlink_to(lake / "deep" / ".env")
    (lake / "loop").symlink_to(lake)
    (lake / ".loop").symlink_to(lake)
    policy = PathPolicy(read=(str(lake),))
    with pytest.raises(OsirisError) as caught:
        policy.readable(root, lake / "x.csv")
    assert caught.value.diagnostics[0].code == "DRV049"


def test_another_name_of_a_pipeline_is_read_and_not_written(tmp_path):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "a.yaml").write_text("a: 1\n")
    (tmp_path / "x.db").hardlink_to(tmp_path / "pipelines" / "a.yaml")
    assert (reading(tmp_path, "x.db"), writing(tmp_path, "x.db", "database")) == (None, "DRV049")


def test_a_link_that_comes_after_the_question_is_not_followed(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.csv").write_text("secret\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").write_text("a\n")
    path = PathPolicy().readable(tmp_path, tmp_path / "data" / "x.csv")
    target = PathPolicy().writable(tmp_path, tmp_path / "data" / "y.csv", "csv")
    (tmp_path / "data").rename(tmp_path / "was")
    (tmp_path / "data").symlink_to("secret")
    with pytest.raises(OsirisError):
        open_source(path)
    with pytest.raises(OsirisError), publish(target, real=True) as output:
        output.write(b"a\n")
    assert os.listdir(tmp_path / "secret") == ["x.csv"]
    (tmp_path / "was" / "x.csv").unlink()
    (tmp_path / "was" / "x.csv").symlink_to("../secret/x.csv")
    with pytest.raises(OsirisError) as caught:
        open_source(tmp_path / "was" / "x.csv")
    assert caught.value.diagnostics[0].code == "DRV063"


def test_files_with_keys_are_those_that_connections_name(tmp_path):
    schema = load_registry().family("gcs").fields
    (key,) = key_files(tmp_path, {"bucket": "lake", "service_account_file": "keys/a.json"}, schema)
    assert key == tmp_path / "keys" / "a.json"
    (tmp_path / "keys").mkdir()
    key.write_text("{}")
    (tmp_path / "data.json").symlink_to(key)
    (tmp_path / "hard.json").hardlink_to(key)
    for name in ("data.json", "hard.json"):
        assert reading(tmp_path, name, keys=(key,)) == "DRV049"
        assert reading(tmp_path, name) is None


def test_nothing_of_it_travels(tmp_path):
    (tmp_path / ".env").write_text("A=1\n")
    (tmp_path / "link").symlink_to(".env")
    for name in (".env", "link"):
        with pytest.raises(OsirisError, match="secrets"):
            refuse_outside(tmp_path, SandboxScope(reads=(Path(tmp_path / name),)), "e2b")
    target = tmp_path / "output" / "x.py"
    with pytest.raises(OsirisError, match="DRV060"):
        refuse_outside(tmp_path, SandboxScope(writes=(target,), formats={target: "csv"}), "e2b")

import pytest

from osiris.config import (
    EARLIER_BELOW,
    EARLIER_KEYS,
    KEYS,
    NOT_YET,
    NOTIFY_CHANNELS,
    load_config,
    read_config,
    variable_name,
)
from osiris.errors import InvalidInput
from osiris.project import Project
from osiris.registry import RESERVED

HOW = "correct the value; 'osiris config explain KEY' describes a setting"


@pytest.fixture
def project(tmp_path):
    def write(text):
        (tmp_path / "osiris.yaml").write_text(text, encoding="utf-8")
        return Project(tmp_path)

    return write


def refused(project, env=None, **more):
    with pytest.raises(InvalidInput) as caught:
        load_config(project, env or {}, **more)
    return [(d.code, d.location.line, d.message, d.hint) for d in caught.value.diagnostics]


@pytest.mark.parametrize("text", ["", "# nothing\n", "run:\n", "run: {}\nprofiles:\n"])
def test_an_empty_file_leaves_the_defaults(text, project):
    config = load_config(project(text), {})
    assert {key: config.get(key) for key in KEYS} == {
        "paths.read": None,
        "paths.write": None,
        "run.memory": 2 * 10**9,
        "run.threads": 0,
        "run.parallel": 0,
        "run.partitions": None,
        "run.spool_limit": 20 * 10**9,
        "run.continue_within": 6 * 3600.0,
        "run.step_timeout": None,
        "run.wait": 600.0,
        "run.target": "local",
        "run.bwrap.network": "none",
        "run.remote.upload_limit": 10**9,
        "run.remote.fetch_limit": 10**9,
        "run.e2b.template": None,
        "run.e2b.install_deps": False,
        "run.e2b.cpu": 2,
        "run.e2b.memory": 4 * 2**30,
        "run.e2b.timeout": 3600.0,
        "openlineage.file": None,
        "openlineage.url": None,
        "openlineage.api_key": None,
        "openlineage.namespace": "osiris",
        "openlineage.timeout": 5.0,
        "openlineage.enabled": False,
        "notify.events": ("failure", "recovery", "late"),
        "notify.webhook": None,
        "notify.slack": None,
        "notify.email": None,
        "notify.apprise": None,
        "notify.timeout": 10.0,
        "schedule.late_after": 600.0,
        "otel.enabled": False,
        "otel.timeout": 5.0,
        "aiop.enabled": True,
        "aiop.policy": "core",
        "aiop.max_core_bytes": 300_000,
        "aiop.timeline_density": "medium",
        "aiop.metrics_topk": 100,
        "aiop.schema_mode": "summary",
        "aiop.delta": "previous",
        "aiop.run_card": True,
        "aiop.annex.enabled": False,
        "aiop.annex.compress": "none",
        "aiop.index.enabled": True,
        "chat.provider": None,
        "chat.model": None,
        "chat.fallback_model": None,
        "chat.base_url": None,
        "chat.api_key": None,
        "chat.timeout": 120.0,
        "chat.requests_per_minute": None,
        "chat.tokens_per_minute": None,
        "chat.max_tokens_per_conversation": 500_000,
        "chat.max_cost": None,
        "chat.context_tokens": 16_000,
        "chat.conventions": None,
        "chat.samples": "none",
        "chat.answers": "auto",
        "chat.output": "output",
        "defaults.retry": None,
        "defaults.timeout": None,
    }
    assert {config.explain(key)[0].origin for key in KEYS} == {"default"}
    assert config.step_defaults() == {}
    assert config.diagnostics == ()


def test_each_source_counts_before_the_next_and_says_where_it_stands(project):
    root = project("run:\n  memory: 1GB\nprofiles:\n  prod:\n    run:\n      memory: 3GB\n  test: {}\n")
    env = {"OSIRIS_RUN__MEMORY": "4GB"}
    config = load_config(root, env, "prod", {"run.memory": "5GB"})
    assert [(s.value, s.origin, s.written) for s in config.explain("run.memory")] == [
        (5 * 10**9, "command line", "5GB"),
        (4 * 10**9, "environment OSIRIS_RUN__MEMORY", "4GB"),
        (3 * 10**9, "profile prod, osiris.yaml:6", "3GB"),
        (1 * 10**9, "osiris.yaml:2", "1GB"),
        (2 * 10**9, "default", "2GB"),
    ]
    assert config.get("run.memory") == 5 * 10**9
    assert load_config(root, env, "prod").get("run.memory") == 4 * 10**9
    assert load_config(root, {}, "prod").get("run.memory") == 3 * 10**9
    assert load_config(root, {}, "test").get("run.memory") == 1 * 10**9
    assert config.profiles == ("prod", "test")


def test_the_profile_may_come_from_the_environment(project):
    root = project("profiles: {prod: {run: {threads: 3}}, test: {run: {threads: 4}}}")
    env = {"OSIRIS_PROFILE": "prod"}
    assert load_config(root, env).get("run.threads") == 3
    assert load_config(root, env).profile == "prod"
    assert load_config(root, env, "test").get("run.threads") == 4
    assert load_config(root, {}, "elsewhere").get("run.threads") == 0


def test_a_limit_can_be_taken_back(project):
    root = project("run: {step_timeout: 5m}\ndefaults: {timeout: 90s}\nprofiles: {slow: {run: {step_timeout: null}}}")
    assert load_config(root, {}).get("run.step_timeout") == 300
    assert load_config(root, {}, "slow").get("run.step_timeout") is None
    assert load_config(root, {"OSIRIS_DEFAULTS__TIMEOUT": "none"}).step_defaults() == {}
    assert load_config(root, {}).step_defaults() == {"timeout": "90s"}


WRITTEN = {
    "paths.read": "/data",
    "paths.write": "/data",
    "run.partitions": "7",
    "run.step_timeout": "7m",
    "run.e2b.template": "mine",
    "openlineage.file": "lineage.jsonl",
    "openlineage.url": "https://host:5000",
    "openlineage.api_key": "${KEY}",
    "notify.webhook": "${HOOK}, ${OTHER_HOOK}",
    "notify.slack": "${HOOK}",
    "notify.email": "${MAIL}",
    "notify.apprise": "${SERVICE}",
    "chat.provider": "openai",
    "chat.model": "qwen3",
    "chat.conventions": "Amounts are in cents.",
    "chat.fallback_model": "llama4",
    "chat.base_url": "http://localhost:11434/v1",
    "chat.api_key": "${KEY}",
    "chat.requests_per_minute": "60",
    "chat.tokens_per_minute": "90000",
    "chat.max_cost": "1.5",
    "defaults.timeout": "7m",
    "defaults.retry": '{"max": 3, "on": ["DRV004"]}',
}


@pytest.mark.parametrize("retry", ["3", "{max: -1}", "{max: 1, often: 2}", '{"on": [1]}', "{backoff: soon}"])
def test_a_retry_that_is_none_is_refused(retry, project):
    found = refused(project(f"defaults:\n  retry: {retry}\n"))
    assert [(code, line) for code, line, *_ in found] == [("PRJ004", 2)]
    assert load_config(project("defaults: {retry: {max: 3}}"), {}).step_defaults() == {"retry": {"max": 3}}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_variable_and_a_place_in_the_file(key, project):
    *sections, name = key.split(".")
    written = str(KEYS[key].default if KEYS[key].default is not None else WRITTEN[key])
    quoted = f'"{written}"' if "$" in written else written
    in_file = load_config(project(": {".join((*sections, f"{name}: {quoted}")) + "}" * len(sections)), {})
    in_environment = load_config(project(""), {variable_name(key): written})
    assert in_file.explain(key)[0].origin == "osiris.yaml:1"
    assert in_file.get(key) == in_environment.get(key)
    assert KEYS[key].purpose


def test_all_problems_are_told_at_once_with_their_lines(project):
    text = (
        "run:\n  memmory: 1GB\n  threads: -1\nrnu: {}\nprofiles:\n  a:\n    run: {memory: much}\n    llm: {}\n"
        "  b: 3\ndefaults: 5\nrun.threads: 2\n"
    )
    assert refused(project(text)) == [
        ("PRJ002", 2, "unknown key 'run.memmory'", "did you mean 'run.memory'?"),
        ("PRJ004", 3, "'run.threads' must be a number of threads, 0 for one per core, found -1", HOW),
        ("PRJ002", 4, "unknown key 'rnu'", "did you mean 'run'?"),
        ("PRJ004", 7, "'run.memory' must be a size like 2GB or 512MiB, found 'much'", HOW),
        (
            "PRJ002",
            8,
            "unknown key 'llm'",
            "available: aiop, chat, defaults, notify, openlineage, otel, paths, profiles, run, schedule",
        ),
        ("PRJ004", 9, "'profiles.b' must be a mapping, found 3", HOW),
        ("PRJ004", 10, "'defaults' must be a mapping, found 5", HOW),
        ("PRJ002", 11, "unknown key 'run.threads'", "did you mean 'run.threads'?"),
    ]


@pytest.mark.parametrize(
    "written", ["https://hooks.example.com/x", "$HOOK", "${HOOK}/x", '["${A}", b]', "[]", "3", '"${cmd:pass x}"']
)
def test_addresses_of_notifications_are_variables(written, project):
    (problem,) = refused(project(f"notify:\n  webhook: {written}\n"))
    assert (*problem[:2], problem[2].partition(",")[0]) == ("PRJ004", 2, "'notify.webhook' must be a variable")


SECRET = "9f8a7b6c-secret"
NOT_VARIABLES = [
    *(f"https://hooks.example.com/{SECRET}", f'"${{HOOK:-https://x/{SECRET}}}"', f'["${{A}}", "{SECRET}"]'),
    *(f"{{url: {SECRET}}}", f'"${{cmd:pass {SECRET}}}"', f"[[{SECRET}]]", f"smtps://u:{SECRET}@host/"),
]
OF_SECRETS = [*(f"notify.{name}" for name in NOTIFY_CHANNELS), "chat.api_key", "openlineage.api_key"]


@pytest.mark.parametrize("written", NOT_VARIABLES)
@pytest.mark.parametrize("key", OF_SECRETS)
def test_a_secret_in_place_of_a_variable_is_not_shown(key, written, project):
    section, name = key.split(".")
    in_file, in_profile = (
        f"{section}:\n  {name}: {written}\n",
        f"profiles: {{p: {{{section}: {{{name}: {written}}}}}}}\n",
    )
    for text in (in_file, in_profile):
        (problem,) = refused(project(text))
        assert (problem[0], SECRET in str(problem)) == ("PRJ004", False)
        assert 'write the value into .env as NAME=VALUE, and "${NAME}" here' in problem[3]
        assert "${NAME:-VALUE}" in problem[3]
    (problem,) = refused(project(""), {variable_name(key): written})
    assert SECRET not in str(problem)


@pytest.mark.parametrize(
    "text",
    [
        *(
            f"{section}: {written}\n"
            for section in ("notify", "chat", "openlineage")
            for written in (SECRET, f"[{SECRET}]")
        ),
        *(f"profiles: {written}\n" for written in (f"https://x/{SECRET}", f"[{SECRET}]", f"{{p: {SECRET}}}")),
        f"profiles: {{p: {{notify: {SECRET}}}}}\n",
        f"notify: {{webhok: {SECRET}}}\n",
        f'notify: {{"https://x/{SECRET}": 1}}\n',
        f"openlineage: {{url: 'https://u:{SECRET}@host'}}\n",
        f"chat: {{base_url: 'https://host/?key={SECRET}'}}\n",
    ],
)
def test_a_secret_in_a_wrong_place_is_not_shown(text, project):
    problems = refused(project(text))
    assert problems
    assert SECRET not in str(problems)


def test_settings_that_are_valid_are_read_beside_those_that_are_not(project):
    broken = project("run: {memory: 1GB, threads: many}\nnotify: {webhook: x}\n")
    config = read_config(broken, {"OSIRIS_RUN__WAIT": "soon"})
    assert [item.message.split(" must")[0] for item in config.diagnostics] == [
        "'OSIRIS_RUN__WAIT'",
        "'run.threads'",
        "'notify.webhook'",
    ]
    assert (config.get("run.memory"), config.get("run.threads"), config.get("notify.webhook")) == (10**9, 0, None)
    assert [setting.origin for setting in config.explain("run.threads")] == ["default"]


def test_variables_of_notifications_are_one_or_a_list(project):
    written = ['"${A}"', '["${A}", "${B}"]', "none", '"${A} ${B}"', '"${vault:a b/c#d}, ${A}"']
    found = [load_config(project(f"notify: {{webhook: {each}}}"), {}).get("notify.webhook") for each in written]
    assert found == [("A",), ("A", "B"), None, ("A", "B"), ("vault:a b/c#d", "A")]
    for each in ("${vault:a:-x}", "${vault:a#}", "${cmd:pass show a}", "${A:-x}", "x ${A}"):
        assert refused(project(f'notify: {{webhook: "{each}"}}'))[0][0] == "PRJ004"
    assert load_config(project("notify: {events: []}"), {}).get("notify.events") == ()
    assert refused(project("notify: {events: [failure, succes]}"))[0][0] == "PRJ004"


def test_profiles_must_be_a_mapping(project):
    assert refused(project("profiles: [a]"))[0][:2] == ("PRJ004", 1)


def test_a_wrong_variable_is_named_as_it_is_spelled(project):
    env = {"OSIRIS_RUN__THREADS": "many", "OSIRIS_RUN__MEMROY": "1GB"}
    assert refused(project(""), env) == [
        ("PRJ002", None, "unknown key 'OSIRIS_RUN__MEMROY'", "did you mean 'OSIRIS_RUN__MEMORY'?"),
        (
            "PRJ004",
            None,
            "'OSIRIS_RUN__THREADS' must be a number of threads, 0 for one per core, found 'many'",
            HOW,
        ),
    ]


def test_variables_that_are_not_settings_are_left_alone(project):
    env = {"OSIRIS_HOME": "/x", "OSIRIS_PARAM_A__B": "1", "OSIRIS_DATABASE_PASSWORD": "s", "RUN__MEMORY": "1GB"}
    assert load_config(project(""), env).diagnostics == ()


def test_blocks_of_the_earlier_implementation_are_named_once_and_not_used(project):
    config = load_config(project("".join(f"{key}: {{a: {{b: 1}}}}\n" for key in EARLIER_KEYS)), {})
    assert [(d.code, d.severity, d.location.line) for d in config.diagnostics] == [("PRJ018", "warning", 1)]
    assert all(key in config.diagnostics[0].message for key in EARLIER_KEYS)
    assert [(d.code, d.severity, d.location.line) for d in config.earlier] == [
        ("PRJ003", "warning", line) for line in range(1, len(EARLIER_KEYS) + 1)
    ]
    assert all(config.explain(key)[0].origin == "default" for key in KEYS)


@pytest.mark.parametrize("key", NOT_YET)
def test_a_default_that_this_version_does_not_act_on_is_refused(key, project):
    found = refused(project(f"defaults:\n  {key.partition('.')[2]}: 1\n"))
    assert [(code, line) for code, line, *_ in found] == [("PRJ010", 2)]
    assert found[0][3] == NOT_YET[key]


def test_every_shared_step_key_has_a_default_or_a_reason_why_not():
    assert {f"defaults.{key}" for key in RESERVED} == {k for k in (*KEYS, *NOT_YET) if k.startswith("defaults.")}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("run: [", "OML001", 1),
        ("- 1\n", "PRJ011", 1),
        ("run: {}\nrun: {}\n", "OML007", 2),
        ("run: &a {}\n", "OML008", 1),
        ("run: {threads: 010}\n", "OML010", 1),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_its_line(text, code, line, project):
    assert refused(project(text))[0][:2] == (code, line)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    assert refused(Project(tmp_path))[0][0] == "PRJ009"
    (tmp_path / "osiris.yaml").write_bytes(b"run: \xff")
    assert refused(Project(tmp_path))[0][:2] == ("OML026", 1)


def test_an_unknown_key_cannot_be_explained(project):
    with pytest.raises(InvalidInput) as caught:
        load_config(project(""), {}).explain("run.memroy")
    assert caught.value.diagnostics[0].code == "PRJ002"
    assert caught.value.diagnostics[0].hint == "did you mean 'run.memory'?"


@pytest.mark.parametrize("key", EARLIER_BELOW)
def test_a_key_below_a_known_block_that_means_nothing_is_named(key, project):
    *sections, name = key.split(".")
    text = f"{{{name}: {{a: 1}}}}"
    for section in reversed(sections):
        text = f"{{{section}: {text}}}"
    config = load_config(project(text), {})
    assert [(d.code, d.severity, d.hint) for d in config.diagnostics] == [("PRJ003", "warning", EARLIER_BELOW[key])]


def test_the_earlier_variables_of_packages_count(project):
    config = load_config(project(""), {"OSIRIS_AIOP_MAX_CORE_BYTES": "1000", "OSIRIS_AIOP_ANNEX_ENABLED": "true"})
    assert (config.get("aiop.max_core_bytes"), config.get("aiop.annex.enabled")) == (1000, True)
    assert config.explain("aiop.max_core_bytes")[0].origin == "environment OSIRIS_AIOP_MAX_CORE_BYTES"
    found = refused(project(""), {"OSIRIS_AIOP_POLICY": "all"})
    assert found == [("PRJ004", None, "'OSIRIS_AIOP_POLICY' must be one of core, annex, custom, found 'all'", HOW)]

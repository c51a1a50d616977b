"""The errors of a run on E2B if the service, its lifetime or its options are the problem: a cause and a remedy."""

import json

import pytest
from tests.e2e.test_remote import ENDLESS, Desk
from tests.parity.cases import READ, WRITE
from tests.servers.e2b import e2b_service

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def desk(osiris, tmp_path, e2b):
    made = Desk(osiris, tmp_path / "project", e2b)
    made.save(READ, WRITE)
    yield made
    e2b.faults.clear()
    assert not any(sandbox.alive for sandbox in made.sandboxes)


def only(done):
    (found,) = [item for item in json.loads(done.stdout)["diagnostics"] if item["severity"] == "error"]
    return done.returncode, found["code"], found["message"], found["hint"]


WORDS = [
    ("run", "case.yaml", "--e2b"),
    ("sandboxes", "list"),
    ("sandboxes", "gc"),
    ("sandboxes", "build"),
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
@pytest.mark.parametrize("url", [NOWHERE, "no address"])
def test_a_service_out_of_reach_is_no_mistake_of_ours(desk, words, url):
    code, name, message, hint = only(desk(*words, "--json", E2B_API_URL=url))
    assert (code, name) == (3, "SBX022")
    assert message.startswith("E2B could not be reached: ")
    assert hint == "check the network, or E2B_API_URL"
    if words[0] == "run":
        assert desk.summary()["status"] == "failed"


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_key_that_is_refused_is_to_be_checked(desk, words):
    code, name, message, hint = only(desk(*words, "--json", E2B_API_KEY="e2b_" + "0" * 40))
    assert (code, name, hint) == (3, "SBX022", "check E2B_API_KEY")
    assert "could not be reached" not in message


def test_the_end_of_a_life_is_no_death_of_a_worker(desk):
    desk.save(READ, ENDLESS, WRITE)
    code, name, message, hint = only(desk("run", "case.yaml", "--e2b", "--e2b-timeout", "6s", "--json"))
    assert (code, name) == (1, "SBX029")
    assert message == "the sandbox reached its timeout (--e2b-timeout 6s)"
    assert hint.startswith("increase --e2b-timeout")
    assert desk.summary()["status"] == "failed"


def test_the_template_to_build_is_the_one_that_is_missing(desk):
    hint = only(desk("run", "case.yaml", "--e2b", "--e2b-mem", "16", "--e2b-cpu", "4", "--json"))[3]
    assert "osiris sandboxes build --e2b-cpu 4 --e2b-mem 16GiB', or" in hint
    hint = only(desk("run", "case.yaml", "--e2b", "--e2b-template", "mine", "--json"))[3]
    assert "osiris sandboxes build --e2b-template mine', or" in hint
    built = json.loads(desk("sandboxes", "build", "--e2b-mem", "8", "--e2b-cpu", "4", "--json").stdout)
    assert built["next"] == ["osiris run FILE --e2b --e2b-cpu 4 --e2b-mem 8"]


def test_no_processors_are_refused(desk):
    for words in (("run", "case.yaml", "--e2b"), ("sandboxes", "build")):
        done = desk(*words, "--e2b-cpu", "0")
        assert done.returncode == 2
        assert "--e2b-cpu" in done.stderr
    assert desk("sandboxes", "build", OSIRIS_RUN__E2B__CPU="0").returncode == 2


def test_options_of_e2b_are_not_taken_in_silence_for_other_targets(desk):
    for words in (("--e2b-mem", "8"), ("--e2b-cpu", "4", "--target", "bwrap"), ("--e2b-install-deps",)):
        done = desk("run", "case.yaml", *words)
        assert done.returncode == 2
        assert f"{words[0]} has no effect without --e2b" in done.stderr
    assert not (desk.folder / "logs").exists()
    assert desk("run", "case.yaml", "--e2b-env", "SOME=1").returncode == 0
    (desk.folder / "osiris.yaml").write_text("run: {target: e2b}\n")
    assert desk("run", "case.yaml", "--e2b-timeout", "60").returncode == 0


def test_a_run_says_what_it_waits_for(desk):
    assert "creating the sandbox\n" in desk("run", "case.yaml", "--e2b").stderr
    assert "sandbox" not in desk("run", "case.yaml", "--new-run").stderr


def test_an_installation_says_that_it_goes_on(osiris, tmp_path):
    with e2b_service() as service:
        desk = Desk(osiris, tmp_path / "project", service)
        desk.save(READ, WRITE)
        index = "http://127.0.0.1:9/simple"
        settings = f"mkdir -p .config/pip; printf '[global]\\nindex-url={index}\\nretries=0\\n' > .config/pip/pip.conf"
        service.templates.all[0].base = type(service.templates.all[0].base)(commands=(settings,))
        here = {"PIP_INDEX_URL": index, "PIP_RETRIES": "0"}
        said = desk("run", "case.yaml", "--e2b", "--e2b-install-deps", **here).stderr
    assert said.index("creating the sandbox\n") < said.index("installing packages\n") < said.index("SBX025")


def test_sandboxes_are_listed_with_their_run_and_project(desk):
    desk.save(READ, ENDLESS, WRITE)
    process = desk.begin()
    (sandbox,) = desk.sandboxes
    said = desk("sandboxes", "list").stdout.splitlines()
    (item,) = json.loads(desk("sandboxes", "list", "--json").stdout)["data"]["sandboxes"]
    process.terminate()
    process.communicate(timeout=300)
    assert said[0].split() == ["SANDBOX", "STARTED", "PROJECT", "SESSION", "TEMPLATE"]
    assert (item["id"], item["folder"], item["session"]) == (sandbox.id, "project", desk.summary()["session"])
    assert said[1].split()[:1] == [sandbox.id]
    assert said[1].split()[2:4] == ["project", item["session"]]

"""Object stores through the command: compiled without a secret, run, discovered, checked by the doctor, secrets never
shown.
"""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

WHO = {"AK": "access_key_id", "SK": "secret_access_key", "AZ": "account_key", "GC": "service_account_key"}
OTHER = {"s3": "az", "az": "gs", "gs": "s3"}
EARLIER = {"s3": "s3.csv_writer", "azure": "azure_blob.csv_writer", "gcs": "gcs.csv_writer"}


@pytest.fixture
def shop(store, tmp_path):
    """A project with a connection to a bucket of its own."""
    bucket = store.new_bucket()
    names = {field: name for name, field in WHO.items()}
    fields = {
        field: f"${{{names[field]}}}" if field in names else value for field, value in store.fields(bucket).items()
    }
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(
        json.dumps({"connections": {store.family: {"lake": {**fields, "default": True}}}})
    )
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "orders.csv").write_text("id,amount\n1,1.50\n2,2.25\n")
    env = {name: store.fields()[field] for name, field in WHO.items() if field in store.fields()}
    return Shop(tmp_path, store, bucket, env)


class Shop:
    def __init__(self, root, store, bucket, env):
        self.root, self.store, self.bucket, self.env = root, store, bucket, env
        self.url = f"{store.scheme}://{bucket}"

    def pipeline(self, name, *steps):
        keys = ("id", "component", "mode", "config", "needs")
        told = [dict(zip(keys, step, strict=False)) for step in steps]
        path = self.root / "pipelines" / f"{name}.yaml"
        path.write_text(json.dumps({"oml_version": "0.1.0", "name": name, "steps": told}))
        return path

    def nothing_told(self):
        secrets = [secret.encode() for secret in (*self.env.values(), *self.store.secrets())]
        files = [path for path in self.root.rglob("*") if path.is_file()]
        assert not [path for path in files for secret in secrets if secret in path.read_bytes()]


def read(path, name="r", kind="csv", **config):
    return (name, f"filesystem.{kind}_extractor", "read", {"path": path, **config}, [])


def write(path, name="w", kind="csv", needs=("r",), **config):
    return (name, f"filesystem.{kind}_writer", "write", {"path": path, **config}, list(needs))


def answer(done):
    return json.loads(done.stdout)


def test_up_and_down_again(shop, osiris):
    up = shop.pipeline("up", read("orders.csv"), write(f"{shop.url}/out/orders.parquet", kind="parquet"))
    done = osiris("run", up, "--json", cwd=shop.root, env=shop.env)
    assert done.returncode == 0, done.stdout + done.stderr
    (output,) = answer(done)["data"]["outputs"].values()
    (file,) = output["files"]
    assert file["path"] == f"{shop.url}/out/orders.parquet"
    assert file["size"] == len(shop.store.get(shop.bucket, "out/orders.parquet"))
    own = {"connection": f"@{shop.store.family}.lake"}
    down = shop.pipeline("down", read("out/*.parquet", kind="parquet", **own), write("back.csv"))
    assert osiris("run", down, cwd=shop.root, env=shop.env).returncode == 0
    assert (shop.root / "back.csv").read_text() == "id,amount\n1,1.50\n2,2.25\n"
    shop.nothing_told()


def test_the_run_id_of_a_scheduler_is_the_name_of_an_object(shop, osiris):
    up = shop.pipeline("up", read("orders.csv"), write(f"{shop.url}/out/${{run.id}}.csv"))
    run_id = "scheduled__2026-11-30T00:00:00+00:00"
    done = osiris("run", up, "--run-id", run_id, "--json", cwd=shop.root, env=shop.env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.store.get(shop.bucket, f"out/{run_id}.csv") == b"id,amount\n1,1.50\n2,2.25\n"
    down = shop.pipeline("down", read(f"{shop.url}/out/{run_id}.csv"), write("back.csv"))
    assert osiris("run", down, cwd=shop.root, env=shop.env).returncode == 0
    assert (shop.root / "back.csv").read_text() == "id,amount\n1,1.50\n2,2.25\n"


def test_the_plan_says_that_statements_do_not_read_from_stores(shop, osiris):
    table = pa.BufferOutputStream()
    pq.write_table(pa.table({"amount": [1, 2]}), table)
    shop.store.put(shop.bucket, "a.parquet", table.getvalue().to_pybytes())
    sql = ("t", "duckdb.processor", "transform", {"query": "SELECT sum(amount) AS s FROM df"}, ["r"])
    path = shop.pipeline("sums", read(f"{shop.url}/a.parquet", kind="parquet"), sql, write("sums.csv", needs=("t",)))
    done = osiris("run", path, "--json", cwd=shop.root, env=shop.env)
    assert (shop.root / "sums.csv").read_text() == "s\n3\n"
    (note,) = [item for item in answer(done)["diagnostics"] if item["code"] == "CON043"]
    assert (note["severity"], "'r'" in note["message"]) == ("note", True)


def test_a_plan_is_made_without_secrets_and_names_the_delivery(shop, osiris):
    up = shop.pipeline("up", read("orders.csv"), write(f"{shop.url}/out/orders.csv"))
    done = osiris("compile", up, "--json", cwd=shop.root)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = json.loads(next((shop.root / "build/up").glob("*/manifest.json")).read_text())
    step = next(step for step in plan["steps"] if step["id"] == "w")
    assert (step["delivery"], step["connection"]) == ("atomic_replace", f"@{shop.store.family}.lake")


def test_a_source_that_changes_is_noticed(shop, osiris):
    shop.store.put(shop.bucket, "in/a.csv", b"id\n1\n")
    down = shop.pipeline("down", read(f"{shop.url}/in/*.csv"), write("back.csv"))
    assert osiris("compile", down, cwd=shop.root, env=shop.env).returncode == 0
    shop.store.put(shop.bucket, "in/a.csv", b"id,more\n1,x\n")
    done = osiris("run", "--last-compile", "--json", cwd=shop.root, env=shop.env)
    assert done.returncode == 6, done.stdout + done.stderr
    assert "DAT011" in {item["code"] for item in answer(done)["diagnostics"]}


def test_steps_that_write_one_object_are_refused(shop, osiris):
    target = f"{shop.url}/x.csv"
    own = {"connection": f"@{shop.store.family}"}
    twice = shop.pipeline("twice", read("orders.csv"), write(target), write("x.csv", "v", **own))
    done = osiris("compile", twice, "--json", cwd=shop.root, env=shop.env)
    assert [item["code"] for item in answer(done)["diagnostics"] if item["severity"] == "error"] == ["CMP009"]
    shop.store.put(shop.bucket, "x.csv", b"id,amount\n1,1.50\n")
    loop = shop.pipeline("loop", read(f"{shop.url}/*.csv"), write(target))
    done = osiris("compile", loop, "--json", cwd=shop.root, env=shop.env)
    assert "CMP017" in {item["code"] for item in answer(done)["diagnostics"]}


def test_a_connection_of_another_family_is_refused(shop, osiris):
    other = OTHER[shop.store.scheme]
    own = {"connection": f"@{shop.store.family}.lake"}
    wrong = shop.pipeline("wrong", read(f"{other}://some-bucket/x.csv", **own), write("x.csv"))
    done = osiris("compile", wrong, "--json", cwd=shop.root, env=shop.env)
    assert done.returncode == 2
    assert "DRV007" in {item["code"] for item in answer(done)["diagnostics"]}
    nobody = shop.pipeline("nobody", read(f"{other}://some-bucket/x.csv"), write("x.csv"))
    done = osiris("compile", nobody, "--json", cwd=shop.root, env=shop.env)
    assert done.returncode == 3
    assert "CON002" in {item["code"] for item in answer(done)["diagnostics"]}


def test_earlier_names_of_writers_are_understood(shop, osiris):
    earlier = ("w", EARLIER[shop.store.family], "write", {"path": "out/x.csv"}, ["r"])
    up = shop.pipeline("up", read("orders.csv"), earlier)
    done = osiris("run", up, "--json", cwd=shop.root, env=shop.env)
    assert done.returncode == 0, done.stdout + done.stderr
    (note,) = [item for item in answer(done)["diagnostics"] if item["code"] == "OML031"]
    assert "filesystem.csv_writer" in note["message"]
    assert shop.store.get(shop.bucket, "out/x.csv") == b"id,amount\n1,1.50\n2,2.25\n"


def test_discovery_lists_and_gives_steps_that_read(shop, osiris):
    shop.store.put(shop.bucket, "in/a.csv", b"id,day\n1,2026-01-02\n")
    shop.store.put(shop.bucket, "in/b.json", b'{"id": 1}\n')
    shop.store.put(shop.bucket, "in/what", b"?")
    for target in (f"{shop.url}/in/", f"{shop.url}/in/*"):
        done = osiris("discover", target, "--json", cwd=shop.root, env=shop.env)
        assert done.returncode == 0, done.stdout + done.stderr
        data = answer(done)["data"]
        assert [table["name"] for table in data["tables"]] == [f"{shop.url}/in/a.csv", f"{shop.url}/in/b.json"]
        assert [column["type"] for column in data["tables"][0]["columns"]] == ["int64", "date"]
        assert data["closed"] == [{"name": f"{shop.url}/in/what", "reason": "its name does not say what it is"}]
    step = data["tables"][0]["step"]
    path = shop.pipeline("found", ("r", step["component"], step["mode"], step["config"], []), write("x.csv"))
    assert osiris("run", path, cwd=shop.root, env=shop.env).returncode == 0
    shop.store.put(shop.bucket, "top.csv", b"id\n1\n")
    done = osiris("discover", f"@{shop.store.family}.lake", "--profile", "--json", cwd=shop.root, env=shop.env)
    (table,) = answer(done)["data"]["tables"]
    assert (table["name"], table["profile"]["rows"]) == (f"{shop.url}/top.csv", 1)
    shop.nothing_told()


def test_the_doctor_tells_what_is_wrong(shop, osiris):
    shop.pipeline("up", read("orders.csv"), write(f"{shop.url}/x.csv"))
    done = osiris("connections", "doctor", "--json", cwd=shop.root, env=shop.env)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = {name: shop.store.wrong().get(field, "wrong") for name, field in WHO.items() if name in shop.env}
    done = osiris("connections", "doctor", "--json", cwd=shop.root, env=wrong)
    assert done.returncode == 3
    assert [item["code"] for item in answer(done)["diagnostics"] if item["severity"] == "error"] == ["CON040"]
    shop.nothing_told()


def test_the_doctor_tells_no_more_than_it_tried(shop, osiris):
    for uses in ([read("orders.csv"), write(f"{shop.url}/x.csv")], [read(f"{shop.url}/x.csv"), write("y.csv")]):
        shop.pipeline("only", *uses)
        done = osiris("connections", "doctor", cwd=shop.root, env=shop.env)
        headline = next(line for line in done.stdout.splitlines() if line.startswith("@"))
        assert ", may list" in headline
        assert "reader" not in done.stdout
        assert "writer" not in done.stdout
        assert "is only known after a run that does" in done.stdout


def test_what_is_new_of_a_connection_is_true_of_a_store(shop, osiris):
    path = shop.pipeline("up", read("orders.csv"), write("x.csv", connection=f"@{shop.store.family}.lake"))
    notes = [d["message"] for d in answer(osiris("validate", path, "--json", cwd=shop.root))["diagnostics"]]
    assert any("by the bucket and prefix of a store" in note for note in notes)


def test_where_only_folders_are_they_are_named(shop, osiris):
    for key in ("in/a.csv", "in/deep/b.csv", "out/c.csv"):
        shop.store.put(shop.bucket, key, b"id\n1\n")
    for asked, where, folders in (
        (f"@{shop.store.family}.lake", f"{shop.url}/", f"{shop.url}/in/, {shop.url}/out/"),
        (f"{shop.url}/", f"{shop.url}/", f"{shop.url}/in/, {shop.url}/out/"),
    ):
        done = osiris("discover", asked, "--json", cwd=shop.root, env=shop.env)
        (found,) = answer(done)["diagnostics"]
        assert (found["code"], found["message"]) == ("DRV001", f"a file in {where} does not exist")
        assert found["hint"] == f"discover one of its folders: {folders}"
    done = osiris("discover", f"{shop.url}/none/", "--json", cwd=shop.root, env=shop.env)
    assert answer(done)["diagnostics"][0]["hint"] == "the folder has no files"


def test_a_run_that_goes_on_puts_the_object_there_again(shop, osiris):
    up = shop.pipeline("up", read("orders.csv"), write(f"{shop.url}/x.csv"))
    assert osiris("run", up, "--run-id", "night", cwd=shop.root, env=shop.env).returncode == 0
    done = osiris("run", up, "--run-id", "night", cwd=shop.root, env=shop.env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.store.get(shop.bucket, "x.csv") == b"id,amount\n1,1.50\n2,2.25\n"


def test_a_run_in_a_sandbox_reaches_its_store(shop, osiris):
    up = shop.pipeline("up", read("orders.csv"), write(f"{shop.url}/out/orders.csv"))
    done = osiris("run", up, "--target", "bwrap", "--json", cwd=shop.root, env=shop.env)
    assert [item["code"] for item in answer(done)["diagnostics"] if item["severity"] == "error"] == ["SBX003"]
    tried = osiris("run", up, "--target", "bwrap", "--dry-run", "--json", cwd=shop.root, env=shop.env)
    assert tried.returncode == done.returncode == 2
    assert [item["code"] for item in answer(tried)["diagnostics"] if item["severity"] == "error"] == ["SBX003"]
    only = osiris("run", up, "--target", "bwrap", "--dry-run", "--select", "r", cwd=shop.root, env=shop.env)
    assert only.returncode == 0, only.stderr
    (shop.root / "osiris.yaml").write_text("run:\n  bwrap:\n    network: allow\n")
    assert osiris("run", up, "--target", "bwrap", "--dry-run", cwd=shop.root, env=shop.env).returncode == 0
    done = osiris("run", up, "--target", "bwrap", "--json", cwd=shop.root, env=shop.env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shop.store.get(shop.bucket, "out/orders.csv") == b"id,amount\n1,1.50\n2,2.25\n"
    shop.nothing_told()


@pytest.mark.parametrize("target", ["local", "bwrap", "e2b"])
def test_a_key_in_a_file_of_the_project(request, gcs, tmp_path, osiris, target):
    bucket = gcs.new_bucket()
    env = request.getfixturevalue("e2b").environment if target == "e2b" else {}
    fields = {**gcs.fields(bucket), "service_account_file": "keys/.lake.json"}
    del fields["service_account_key"]
    (tmp_path / "osiris.yaml").write_text("run:\n  bwrap:\n    network: allow\n")
    (tmp_path / "osiris_connections.yaml").write_text(json.dumps({"connections": {"gcs": {"lake": fields}}}))
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "orders.csv").write_text("id,amount\n1,1.50\n")
    shop = Shop(tmp_path, gcs, bucket, {})
    up = shop.pipeline("up", read("orders.csv"), write("x.csv", connection="@gcs.lake"))
    done = osiris("run", up, "--target", target, "--json", cwd=tmp_path, env=env)
    assert [item["code"] for item in answer(done)["diagnostics"] if item["severity"] == "error"] == ["CON044"]
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys/.lake.json"
    key.write_text(json.dumps(json.loads(gcs.fields()["service_account_key"]), indent=2))
    done = osiris("run", up, "--target", target, "--json", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert gcs.get(bucket, "x.csv") == b"id,amount\n1,1.50\n"
    assert osiris("connections", "doctor", cwd=tmp_path).returncode == 0
    listed = osiris("connections", "list", cwd=tmp_path).stdout
    assert "keys/.lake.json" in listed
    key.unlink()
    shop.nothing_told()


def test_a_key_is_no_text_of_the_file_of_connections(gcs, tmp_path, osiris):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "osiris_connections.yaml").write_text(json.dumps({"connections": {"gcs": {"lake": gcs.fields("a-b")}}}))
    done = osiris("connections", "list", "--json", cwd=tmp_path)
    assert "CON007" in {item["code"] for item in answer(done)["diagnostics"]}
    assert not [secret for secret in gcs.secrets() if secret in done.stdout + done.stderr]

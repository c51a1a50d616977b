"""Published folders through the command: planned, run twice, verified, discovered, resumed, replayed."""

import json
import shutil

import pytest


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "osiris.yaml").write_text("")
    (tmp_path / "orders.csv").write_text("id,region,amount\n1,north,1.50\n2,,2.25\n3,a/b,3.00\n")
    return tmp_path


def pipeline(shop, name, *steps):
    keys = ("id", "component", "mode", "config", "needs")
    told = [dict(zip(keys, step, strict=True)) for step in steps]
    path = shop / f"{name}.yaml"
    path.write_text(json.dumps({"oml_version": "0.1.0", "name": name, "steps": told}))
    return path.name


def read(path, name="r", kind="csv", **config):
    return (name, f"filesystem.{kind}_extractor", "read", {"path": path, **config}, [])


def write(path, name="w", kind="parquet", needs=("r",), **config):
    return (name, f"filesystem.{kind}_writer", "write", {"path": path, **config}, list(needs))


def answer(done):
    return json.loads(done.stdout)


def errors(done):
    return [item["code"] for item in answer(done)["diagnostics"] if item["severity"] == "error"]


BY_REGION = write("out/orders/", partition_by=["region"])


def test_planned_run_read_and_discovered(shop, osiris):
    up = pipeline(shop, "up", read("orders.csv"), BY_REGION)
    for verb in ("creates", "replaces"):
        done = osiris("compile", up, cwd=shop)
        assert done.returncode == 0, done.stderr
        assert f"w {verb} out/orders" in done.stdout
        done = osiris("run", up, "--new-run", "--json", cwd=shop)
        assert done.returncode == 0, done.stdout + done.stderr
        ((file,),) = (output["files"] for output in answer(done)["data"]["outputs"].values())
        assert file["path"] == "out/orders/"
    assert osiris("verify", "previous", "last", cwd=shop).returncode == 0
    down = pipeline(shop, "down", read("out/orders/", kind="parquet"), write("back.csv", kind="csv"))
    assert osiris("run", down, cwd=shop).returncode == 0
    back = sorted((shop / "back.csv").read_text().splitlines())
    assert back == ["1,north,1.50", "2,,2.25", "3,a/b,3.00", "id,region,amount"]
    for target in ("out/orders", "out/orders/"):
        (table,) = answer(osiris("discover", target, "--json", cwd=shop))["data"]["tables"]
        assert (table["name"], table["rows"], table["step"]["config"]) == ("out/orders/", 3, {"path": "out/orders/"})
        types = {column["name"]: column["type"] for column in table["columns"]}
        assert types == {"id": "int64", "region": "utf8", "amount": "decimal(38,2)"}


def test_what_cannot_be_is_refused_when_it_is_planned(shop, osiris):
    several = pipeline(shop, "several", read("orders.csv"), write("out.parquet", partition_by=["region"]))
    assert errors(osiris("compile", several, "--json", cwd=shop)) == ["DRV047"]
    amount = pipeline(shop, "amount", read("orders.csv"), write("out/", partition_by=["amount"]))
    assert errors(osiris("compile", amount, "--json", cwd=shop)) == ["CMP012"]
    nobody = pipeline(shop, "nobody", read("orders.csv"), write("out/", partition_by=["regoin"]))
    done = osiris("compile", nobody, "--json", cwd=shop)
    assert errors(done) == ["DAT005"]
    assert "region" in done.stdout
    for size in ("0B", "00 kB"):
        empty = pipeline(shop, "empty", read("orders.csv"), write("out/", max_file_bytes=size))
        assert errors(osiris("compile", empty, "--json", cwd=shop)) == ["OML028"]
    text = pipeline(shop, "text", read("orders.csv"), write("out/", kind="csv"))
    assert errors(osiris("compile", text, "--json", cwd=shop)) == ["DRV007"]


def test_two_steps_do_not_share_a_folder(shop, osiris):
    (shop / "out/orders").mkdir(parents=True)
    (shop / "out/same").symlink_to("orders")
    inside = write("out/orders/region=x/y.csv", "v", "csv")
    for number, other in enumerate((write("out/orders/", "v"), inside, write("out/", "v"), write("out/same/", "v"))):
        twice = pipeline(shop, f"twice-{number}", read("orders.csv"), BY_REGION, other)
        assert errors(osiris("compile", twice, "--json", cwd=shop)) == ["CMP009"]
    assert osiris("run", pipeline(shop, "up", read("orders.csv"), BY_REGION), cwd=shop).returncode == 0
    for number, path in enumerate(("out/orders/", "out/orders/*/*.parquet")):
        loop = pipeline(shop, f"loop-{number}", read(path, kind="parquet"), BY_REGION)
        found = errors(osiris("compile", loop, "--json", cwd=shop))
        assert "CMP017" in found, (path, found)


def test_a_continued_run_looks_at_every_file(shop, osiris):
    broken = read("later.csv", "late")
    steps = (read("orders.csv"), BY_REGION, broken, write("out/late.parquet", "x", needs=("late", "w")))
    (shop / "later.csv").write_text("id\n1\n")
    two = pipeline(shop, "two", *steps)
    assert osiris("compile", two, cwd=shop).returncode == 0
    (shop / "out").mkdir(exist_ok=True)
    (shop / "out/late.parquet").mkdir()
    assert osiris("run", two, cwd=shop).returncode == 1
    done = osiris("run", two, "--json", cwd=shop)
    skipped = answer(done)["data"]["steps"]["w"]["status"]
    assert skipped == "skipped", done.stdout
    file = next((shop / "out/orders").glob("region=north/part-*"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    (shop / "out/late.parquet").rmdir()
    done = osiris("run", two, "--json", cwd=shop)
    assert done.returncode == 0, done.stdout
    assert answer(done)["data"]["steps"]["w"]["status"] == "complete"


def test_a_replay_leaves_the_folder_alone(shop, osiris):
    up = pipeline(shop, "up", read("orders.csv"), BY_REGION)
    assert osiris("run", up, cwd=shop).returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (shop / "out").rglob("*")}
    done = osiris("replay", "last", "--json", cwd=shop)
    assert done.returncode == 0, done.stdout
    assert answer(done)["data"]["same"] is True
    assert {path: path.stat().st_mtime_ns for path in (shop / "out").rglob("*")} == before
    assert not list((shop / "logs").rglob("part-*"))


def test_a_source_that_changes_is_noticed(shop, osiris):
    up = pipeline(shop, "up", read("orders.csv"), BY_REGION)
    assert osiris("run", up, cwd=shop).returncode == 0
    down = pipeline(shop, "down", read("out/orders/", kind="parquet"), write("back.csv", kind="csv"))
    assert osiris("compile", down, cwd=shop).returncode == 0
    shutil.rmtree(shop / "out")
    (shop / "orders.csv").write_text("id,region,amount,more\n1,north,1.50,x\n")
    assert osiris("run", up, "--new-run", cwd=shop).returncode == 6
    assert osiris("compile", up, "--refresh", cwd=shop).returncode == 0
    assert osiris("run", up, "--new-run", cwd=shop).returncode == 0
    done = osiris("run", down, "--json", cwd=shop)
    assert (done.returncode, "DAT011" in done.stdout) == (6, True)

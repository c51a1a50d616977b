"""The config key `checks`: what must be true of rows before anybody reads them."""

import json

import pytest

from osiris import api
from osiris.errors import OsirisError
from osiris.runner.run import RunOptions

PIPELINE = """
oml_version: "0.2.0"
name: shop
params: {least: {type: string, default: "x' OR true OR '"}, key: {type: string, sensitive: true, default: unset-secret}}
steps:
  - id: orders
    component: filesystem.csv_extractor
    mode: read
    config:
      path: orders.csv
      checks: ORDERS
  - id: total
    component: duckdb.processor
    mode: transform
    needs: [orders]
    config:
      query: SELECT status, sum(amount) AS amount FROM orders GROUP BY status ORDER BY status
      checks: TOTAL
  - id: report
    component: filesystem.csv_writer
    mode: write
    needs: [total]
    config:
      path: output/total.csv
      checks: REPORT
"""
GOOD = "{row_count: {min: 1}}"
ORDERS = (
    "id,status,amount,day\n1,new,1.50,2026-01-01\n2,new,2.50,2026-01-02\n2,odd,-3.25,2026-03-01\n3,,4.00,2026-01-03\n"
)


class Shop:
    """A project with one pipeline whose checks are put in."""

    def __init__(self, folder):
        self.folder = folder
        self.events = []
        (folder / "osiris.yaml").write_text("")
        (folder / "orders.csv").write_text(ORDERS)

    @property
    def workspace(self):
        return api.open_project(self.folder, {"OSIRIS_PARAM_KEY": "correct-horse-battery"})

    def write(self, orders=GOOD, total=GOOD, report=GOOD, text=PIPELINE):
        for name, checks in (("ORDERS", orders), ("TOTAL", total), ("REPORT", report)):
            text = text.replace(name, f"[{checks}]")
        (self.folder / "shop.yaml").write_text(text.replace(", default: unset-secret", ""))

    def compile(self):
        return api.compile_file(self.workspace, self.folder / "shop.yaml", params={})

    def problems(self):
        with pytest.raises(OsirisError) as caught:
            self.compile()
        return [(d.code, d.location.line, d.location.column, d.hint) for d in caught.value.diagnostics]

    def run(self):
        words = (
            self.workspace,
            str(self.folder / "shop.yaml"),
            RunOptions(new_run=True, environ=self.workspace.environ),
        )
        result, _ = api.run_target(*words, self.events.append, params={})
        return result

    def broken(self):
        """What a run says of its broken checks, each with its place."""
        result = self.run()
        assert (result.status, result.exit_code) == ("failed", 6)
        return [(d.code, d.location.line, d.message) for d in result.diagnostics if d.severity == "error"]

    def told(self, event):
        return [each for each in self.events if each["event"] == event]


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


KINDS = {
    "{row_count: {min: 5, max: 9}}": '1 row: {"rows": 4}',
    "{row_count: {max: 3}}": '1 row: {"rows": 4}',
    "{not_null: [id, status]}": '1 row: {"id": 3, "status": null, "amount": "4.00", "day": "2026-01-03"}',
    "{unique: [id]}": '1 row: {"id": 2, "count_star()": 2}',
    "{accepted_values: {column: status, values: [new, old]}}": (
        '1 row: {"id": 2, "status": "odd", "amount": "-3.25", "day": "2026-03-01"}'
    ),
    "{range: {column: amount, min: 0, max: 3.5}}": (
        '2 rows: {"id": 2, "status": "odd", "amount": "-3.25", "day": "2026-03-01"}; '
        '{"id": 3, "status": null, "amount": "4.00", "day": "2026-01-03"}'
    ),
    '{range: {column: day, max: "2026-01-31"}}': (
        '1 row: {"id": 2, "status": "odd", "amount": "-3.25", "day": "2026-03-01"}'
    ),
    '{name: pairs, sql: "SELECT a.id FROM output a JOIN output b ON a.id < b.id"}': (
        '5 rows: {"id": 1}; {"id": 1}; {"id": 1}; {"id": 2}; {"id": 2}'
    ),
}


def test_broken_checks_are_all_told_and_nothing_is_written(shop):
    shop.write(orders=", ".join([GOOD, *KINDS]))
    found = shop.broken()
    assert {(code, line) for code, line, _ in found} == {("DAT030", 11)}
    assert [message.partition(" found ")[2] for *_, message in found] == list(KINDS.values())
    assert found[-1][2].startswith("step 'orders': check 'pairs' found ")
    assert found[3][2].startswith("step 'orders': check 'unique: [\"id\"]' found ")
    assert (len(shop.told("check_passed")), len(shop.told("check_failed"))) == (1, len(KINDS))
    assert not (shop.folder / "output").exists()


def test_checks_of_a_writer_stand_before_it_writes(shop):
    (shop.folder / "output").mkdir()
    (shop.folder / "output" / "total.csv").write_text("as it was")
    shop.write(report="{not_null: [status]}, {unique: [status]}")
    assert shop.broken() == [
        (
            "DAT030",
            25,
            'step \'report\': check \'not_null: ["status"]\' found 1 row: {"status": null, "amount": "4.00"}',
        )
    ]
    assert (shop.folder / "output" / "total.csv").read_text() == "as it was"
    assert [each["step"] for each in shop.told("step_complete")] == ["orders", "total"]


def test_checks_of_a_transform_run_once(shop):
    shop.write(total="{range: {column: amount, max: 3.99}}")
    assert [line for _, line, _ in shop.broken()] == [18]
    assert (len(shop.told("check_failed")), shop.told("step_unfused")) == (1, [])


def test_good_rows_pass_and_it_is_on_record(shop, osiris):
    values = "{accepted_values: {column: id, values: [1, 2, 3]}}, {range: {column: id, max: 3}}"
    shop.write(orders=f"{GOOD}, {values}", total='{sql: "SELECT * FROM output WHERE amount > 100"}')
    result = shop.run()
    assert (result.status, result.diagnostics) == ("complete", ())
    assert {step: told["checks"] for step, told in result.steps.items()} == {"orders": 3, "total": 1, "report": 1}
    passed = shop.told("check_passed")
    assert [(e["step"], e["found"]) for e in passed] == [("orders", 0)] * 3 + [("total", 0), ("report", 0)]
    assert (shop.folder / "output" / "total.csv").read_text().startswith("status,amount\n")
    shown = osiris("logs", "show", "last", cwd=shop.folder).stdout.splitlines()
    assert next(line for line in shown if line.startswith("step ")).endswith("checks passed")
    again = osiris("run", "--last-compile", "--new-run", "--json", cwd=shop.folder, env={"OSIRIS_PARAM_KEY": "other"})
    assert (again.returncode, json.loads(again.stdout)["data"]["status"]) == (0, "complete")


def test_checks_are_part_of_the_plan(shop):
    shop.write()
    before = shop.compile().manifest
    shop.write(total="{row_count: {min: 2}}")
    assert shop.compile().manifest.fingerprint != before.fingerprint


def test_what_does_not_fit_is_said_where_it_stands(shop):
    shop.write()
    api.save(shop.workspace, shop.compile())  # from here on the source is pinned, and not asked
    shop.write(
        orders="{not_null: [amuont]}, {range: {column: status, max: 5}}",
        total='{sql: "SELECT * FROM orders"}, {sql: "SELECT * FROM read_csv(\'x\')"}, {sql: "SELECT nope FROM output"}',
    )
    found = shop.problems()
    assert [each[:2] for each in found] == [
        ("DAT005", 11),
        ("SQL009", 11),
        ("SQL006", 18),
        ("SQL005", 18),
        ("SQL009", 18),
    ]
    assert len({each[1:3] for each in found}) == 5
    assert found[0][3] == "did you mean 'amount'?"
    shop.write(report="{unique: [total]}")
    assert [each[:2] for each in shop.problems()] == [("DAT005", 25)]


@pytest.mark.parametrize(
    ("checks", "codes"),
    [
        ("{row_cuont: {min: 1}}", ["OML028", "OML002"]),
        ("{not_null: [id], unique: [id]}", ["OML028"]),
        ("{name: x}", ["OML028"]),
        ("{row_count: {least: 1}}", ["OML002"]),
        ("{row_count: {min: -1}}", ["OML028"]),
        ("{not_null: id}", ["OML006"]),
        ("{range: {column: id}}", ["OML028"]),
        ("{accepted_values: {column: id}}", ["OML003"]),
        ("not_null", ["OML006", "OML028"]),
        ('{sql: "SELECT ${params.none} FROM output"}', ["OML019"]),
    ],
)
def test_shape_is_checked(shop, checks, codes):
    shop.write(total=checks)
    found = api.validate_file(shop.workspace, shop.folder / "shop.yaml", params={}).diagnostics
    assert [(d.code, d.location.line) for d in found if d.severity == "error"] == [(code, 18) for code in codes]


def test_earlier_version_of_the_language_has_no_checks(shop):
    shop.write(text=PIPELINE.replace("0.2.0", "0.1.0"))
    found = api.validate_file(shop.workspace, shop.folder / "shop.yaml", params={}).diagnostics
    errors = [(d.code, d.location.line, d.hint) for d in found if d.severity == "error"]
    assert errors == [("OML035", line, 'write oml_version: "0.2.0"') for line in (11, 18, 25)]


def test_parameters_are_values_and_secrets_stay_secret(shop):
    shop.write(
        orders='{sql: "SELECT * FROM output WHERE status = ${params.least}"}',
        total='{sql: "SELECT ${params.key} AS found, ${run.id} AS run FROM output"}',
    )
    ((code, line, message),) = shop.broken()
    assert (code, line) == ("DAT030", 18)
    assert '{"found": "***", "run": "' in message
    assert "correct-horse-battery" not in json.dumps(shop.events)


def test_preview_leaves_checks_alone(shop):
    shop.write(orders="{row_count: {min: 100}}")
    (table,) = api.preview(shop.workspace, shop.folder / "shop.yaml", "total", params={}, sample=2).tables
    assert table.rows == [["new", "4.00"]]

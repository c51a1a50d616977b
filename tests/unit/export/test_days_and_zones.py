"""An exported file runs on the days and in the time zone of its schedule, or the export is refused."""

import re
import shutil
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import pytest
import yaml

from osiris.api import open_project
from osiris.errors import OsirisError
from osiris.export import written
from osiris.export.crontab import crontab
from osiris.export.exported import Choices, Exported, export_of
from osiris.oml.schedule import Schedule

PIPELINE = """\
oml_version: "0.2.0"
name: copy
steps:
  - {id: rows, component: filesystem.csv_extractor, mode: read, config: {path: data/rows.csv}}
  - {id: out, component: filesystem.csv_writer, mode: write, needs: [rows], config: {path: output/rows.csv}}
"""
DAYS = ("*", "13", "*/2", "*/1", "5,*", "*,5", "1-7", "1-31", "1-31/3")
WEEKDAYS = ("*", "FRI", "7", "*/7", "*/2", "0,*", "*,7", "FRI-7", "0-7", "1-7/2")
NAMES = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
YEAR = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
ZONES = Path("/usr/share/zoneinfo")


def values(text, low, high):
    """Return the numbers of a field of cron."""
    numbers = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        first, last = (NAMES.index(each) if each in NAMES else int(each) for each in (first, last or first))
        numbers |= {*range(first, last + 1, int(step or 1))}
    return numbers


def days_of_cron(cron):
    """Return the days of a year on which Debian's cron runs: both must match if one begins with `*`."""
    _, _, day, _, weekday = cron.split()
    combine = all if "*" in (day[0], weekday[0]) else any
    numbers = {number % 7 for number in values(weekday, 0, 7)}
    return [one for one in YEAR if combine((one.day in values(day, 1, 31), one.isoweekday() % 7 in numbers))]


def days_of_kubernetes(cron):
    """Return the days on which robfig/cron runs: both must match if one has `*` in it, without a step over 1."""
    _, _, day, _, weekday = cron.split()
    free = [
        re.search(r"(^|,)\*(/1)?(,|$)", field) and not re.search(r"/0*([2-9]|1\d)", field) for field in (day, weekday)
    ]
    combine = all if any(free) else any
    assert "7" not in re.sub("/.", "", weekday)
    return [
        one for one in YEAR if combine((one.day in values(day, 1, 31), one.isoweekday() % 7 in values(weekday, 0, 6)))
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    (folder / "osiris.yaml").write_text("")
    (folder / "pipelines").mkdir()
    (folder / "pipelines/copy.yaml").write_text(PIPELINE)
    return open_project(folder, {}, None, None)


@pytest.mark.parametrize(("day", "weekday"), [*product(DAYS, WEEKDAYS)])
def test_kubernetes_runs_on_the_days_of_cron_or_the_export_is_refused(day, weekday, project):
    cron = f"0 2 {day} * {weekday}"
    choices = Choices({}, cron=cron, image="osiris:1", command="/opt/osiris")
    if "*" in (day, weekday) or "*" not in day + weekday:
        (text,) = written(export_of(project, "kubernetes", "pipelines/copy.yaml", choices)).values()
        assert days_of_kubernetes(yaml.safe_load(text)["spec"]["schedule"]) == days_of_cron(cron)
        return
    for scheduler in ("airflow", "dagster", "prefect", "github", "kubernetes"):
        with pytest.raises(OsirisError, match="EXP005"):
            export_of(project, scheduler, "pipelines/copy.yaml", choices)


def exported(zone):
    return Exported("cron", "copy", "a.yaml", "/srv/shop", "/opt/osiris", (), Schedule("0 2 * * *", zone), ())


def localtime(folder, how, zone):
    """Return what a machine in a time zone has as /etc/localtime."""
    path = folder / "localtime"
    if how == "link":
        path.symlink_to(ZONES / zone)
    elif how == "copy":
        shutil.copy(ZONES / zone, path)
    elif how == "broken link":
        path.symlink_to(folder / "zoneinfo/Asia/Tokyo")
    elif how == "damaged":
        path.write_bytes(b"TZif2")
    elif how == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize("how", ["link", "copy"])
@pytest.mark.parametrize(
    ("machine", "zone"),
    [
        ("Etc/UTC", "UTC"),
        ("UTC", "Etc/Zulu"),
        ("Europe/Prague", "Europe/Prague"),
        ("Asia/Kolkata", "Asia/Calcutta"),
        ("US/Eastern", "America/New_York"),
    ],
)
def test_a_crontab_is_for_the_zone_of_the_machine(how, machine, zone, tmp_path):
    (text,) = crontab(exported(zone), localtime(tmp_path, how, machine)).values()
    assert f"time zone {zone}." in text


def test_a_machine_without_a_zone_is_in_utc(tmp_path):
    for how in ("none", "broken link"):
        assert crontab(exported("UTC"), localtime(tmp_path, how, ""))
        with pytest.raises(OsirisError, match="here UTC"):
            crontab(exported("Asia/Tokyo"), tmp_path / "localtime")


@pytest.mark.parametrize("how", ["link", "copy", "damaged", "folder"])
@pytest.mark.parametrize(
    ("machine", "zone"),
    [
        ("Etc/UTC", "America/New_York"),
        ("America/New_York", "UTC"),
        ("Europe/Prague", "Africa/Lagos"),
        ("Europe/London", "UTC"),
        ("America/Phoenix", "America/Denver"),
    ],
)
@pytest.mark.parametrize("caller", ["machine", "zone"])
def test_a_crontab_for_another_zone_is_refused_whatever_the_zone_of_the_caller(
    caller, how, machine, zone, tmp_path, monkeypatch
):
    monkeypatch.setenv("TZ", machine if caller == "machine" else zone)
    with pytest.raises(OsirisError, match="EXP002") as refused:
        crontab(exported(zone), localtime(tmp_path, how, machine))
    (problem,) = refused.value.diagnostics
    assert (machine in problem.message) == (how == "link")
    assert "systemd" in problem.hint
    assert f"--zone {machine}" in problem.hint if how == "link" else "localtime" in problem.hint

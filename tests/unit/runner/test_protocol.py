import pytest

from osiris.runner.protocol import Job, Limits, Secrets, decode, encode


def test_job_survives_the_line():
    job = Job(
        "run", "/r", "/s", "/a", Limits(1, 2, 3, 4, 5), [{"id": "ü"}], {"run.id": "x"}, {"w": "done"}, "all", 1.5, "/l"
    )
    line = encode(job.to_json())
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert decode(line)["job"] == "run"
    assert decode(line)["protocol"] == 1
    assert Job.from_json(decode(line)) == job


def test_secrets_survive_the_line():
    secrets = Secrets({"@f.a": {"host": "h"}}, {"@f.a": {"password": "p\n\u2028"}}, {"token": "t"})
    assert Secrets.from_json(decode(encode(secrets.to_json()))) == secrets


@pytest.mark.parametrize("line", [b"", b"x\n", b"[1]\n", b"1\n", b"null\n", b"\xff\n"])
def test_other_lines_are_refused(line):
    with pytest.raises((ValueError, TypeError)):
        decode(line)

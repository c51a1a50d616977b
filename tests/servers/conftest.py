"""Local E2B services for their own tests, of both kinds: with namespaces, and with plain processes."""

import contextlib
import functools

import pytest
from e2b import Sandbox
from tests.servers.e2b import e2b_service


def in_environment(service, monkeypatch):
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    return service


@pytest.fixture(params=["apart", "plain"])
def any_service(request, monkeypatch):
    with e2b_service(isolated=request.param == "apart") as service:
        yield in_environment(service, monkeypatch)


@pytest.fixture
def service(monkeypatch):
    with e2b_service() as service:
        yield in_environment(service, monkeypatch)


@pytest.fixture
def start_service(monkeypatch):
    """A service that is started with options of the test."""

    def start(stack, **options):
        return in_environment(stack.enter_context(e2b_service(**options)), monkeypatch)

    with contextlib.ExitStack() as stack:
        yield functools.partial(start, stack)


@pytest.fixture
def sandbox(service):
    return Sandbox.create(timeout=60)

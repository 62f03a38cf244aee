"""What the data plane's tests share: small networks in which it really works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

import honeypots
from conftest import skip
from darkflow.divert.dispatcher import Dispatcher, Limits
from darkflow.divert.plane import Plane
from darkflow.lab import planes
from divert.plane_log import MACS, Log


@contextmanager
def stand(kind: str) -> Iterator[planes.Stand]:
    """Such a network, where there can be one."""
    if (reason := planes.cannot()) is not None:
        skip(reason)
    with planes.stand(kind) as made:
        yield made


@pytest.fixture(scope="session")
def real_planes() -> None:
    """For tests that load rulesets in namespaces of their own."""
    if (reason := planes.cannot()) is not None:
        skip(reason)


@pytest.fixture(scope="module")
def stands() -> Iterator[Callable[[str], planes.Stand]]:
    """The networks of one module, each built when it is first asked for."""
    with ExitStack() as all_of_them:
        built: dict[str, planes.Stand] = {}

        def one(kind: str) -> planes.Stand:
            if kind not in built:
                built[kind] = all_of_them.enter_context(stand(kind))
            return built[kind]

        yield one


@pytest.fixture(params=[planes.ROUTER, planes.BRIDGE, planes.MIRROR])
def plane(
    request: pytest.FixtureRequest, stands: Callable[[str], planes.Stand]
) -> Iterator[planes.Stand]:
    """Each kind of network in turn; what a test has started in it ends with the test."""
    with stands(request.param).cleared() as made:
        yield made


@pytest.fixture(params=[planes.ROUTER, planes.BRIDGE])
def inline(
    request: pytest.FixtureRequest, stands: Callable[[str], planes.Stand]
) -> Iterator[planes.Stand]:
    """Those that Darkflow is in the way of."""
    with stands(request.param).cleared() as made:
        yield made


@pytest.fixture
def router(stands: Callable[[str], planes.Stand]) -> Iterator[planes.Stand]:
    """A router alone, where the kind of network makes no difference."""
    with stands(planes.ROUTER).cleared() as made:
        yield made


@pytest.fixture
def mirror(stands: Callable[[str], planes.Stand]) -> Iterator[planes.Stand]:
    """A mirror alone."""
    with stands(planes.MIRROR).cleared() as made:
        yield made


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def version(request: pytest.FixtureRequest) -> int:
    """IPv4 and IPv6."""
    number: int = request.param
    return number


@pytest.fixture
def place() -> Iterator[honeypots.World]:
    """A client and the machine, where the test is: for what runs in the honeypot's namespace."""
    if (reason := honeypots.cannot()) is not None:
        skip(reason)
    with honeypots.world() as made:
        yield made


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def make(log: Log) -> Iterator[Callable[..., Plane]]:
    """Makes planes that are closed afterwards."""
    made: list[Plane] = []

    def one(jitter_ns: int = 0, limits: Limits | None = None) -> Plane:
        dispatcher = Dispatcher(lambda *_: True, limits or Limits())
        made.append(Plane(dispatcher, log, log.send, MACS, log, jitter_ns))
        made[-1].start()
        return made[-1]

    yield one
    log.hold.set()
    for plane in made:
        plane.close()

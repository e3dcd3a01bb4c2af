"""docker-compose.yml as it stands."""

import pytest

import stack as stacks
from engine import call, inspect, until


@pytest.fixture(scope="module")
def stack(image):
    yield from stacks.up()


@pytest.fixture(scope="module")
def clients():
    return stacks.Clients()


def test_counts_equal_what_was_sent_and_outlive_the_stack(stack, clients):
    sent = stacks.wait_counted(stack, clients, 500)
    assert clients.counted() == sent
    first, second = stacks.outlive(stack, clients)
    print(f"{first} records before the stack was taken down, {second} after it came back")


def test_nothing_runs_with_rights_that_it_does_not_need(stack):
    stacks.check_rights(stack)


def test_health_check_notices(stack):
    """It reads the configuration of the instance, and fails while Redis is away."""
    check = inspect(stack.container("rollcall"))["Config"]["Healthcheck"]["Test"]
    assert check[1:] == ["rollcall", "ready"]
    stack.stop("redis")
    until(lambda: not stack.is_healthy("rollcall"), 60, "the health check to fail")
    stack.start("redis")
    stack.wait_healthy("rollcall")

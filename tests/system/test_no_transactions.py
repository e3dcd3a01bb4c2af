"""Brokers that speak Kafka's protocol but know no transactions: named, instead of waited for."""

import pytest

import kafka
import proxy as proxies
from test_refusals import refused

#: Kafka's API keys by which a broker may say so.
FIND_COORDINATOR, INIT_PRODUCER = 10, 22
WORDS = ("do not support transactions", "output.guarantee=at_least_once")


@pytest.fixture(scope="module")
def proxy():
    """The proxy in front of this module's broker."""
    return proxies.Proxy()


@pytest.fixture(scope="module")
def broker(proxy, tmp_path_factory):
    """A broker whose third listener is behind the proxy."""
    with kafka.running(tmp_path_factory, advertise=proxy.add) as server:
        yield server


@pytest.fixture(params=[FIND_COORDINATOR, INIT_PRODUCER], ids=["coordinator", "producer_id"])
def options(world, proxy, request):
    """Settings that lead to the broker without transactions."""
    address = world.broker.proxied_address
    proxy.set(int(address.split(":")[1]), "plain", request.param)
    yield {"kafka__bootstrap__servers": address}
    proxy.set(int(address.split(":")[1]), "pass")


def test_exactly_once_exits(world, options):
    world.create_input()
    refused(world.run(**options), *WORDS, seconds=15)


@pytest.mark.parametrize("more", [{}, {"instance__id": "one"}], ids=["random_id", "own_id"])
def test_check_says_so(world, options, more):
    world.create_input()
    done = world.execute("check", **options, **more)
    assert done.returncode == 1 and all(word in done.stdout for word in WORDS), done.stdout


def test_at_least_once_works(world, options):
    load = world.make_load()
    load.produce(500)
    instance = world.run(**options, output__guarantee="at_least_once")
    world.verify(load, instance, guarantee="at_least_once")
    instance.stop()
    done = world.execute("check", **options, output__guarantee="at_least_once")
    assert done.returncode == 0, done.stdout

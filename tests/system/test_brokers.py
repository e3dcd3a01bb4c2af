"""Metadata that briefly lists no brokers, as if every broker of the cluster were fenced."""

import pytest

import kafka
import proxy as proxies
import wait

RATE = 4000
CLIENTS = {"consumer__client__id": "reads", "producer__client__id": "writes"}


@pytest.fixture(scope="module")
def proxy():
    """The proxy in front of this module's broker."""
    return proxies.Proxy()


@pytest.fixture(scope="module")
def broker(proxy, tmp_path_factory):
    """A broker whose third listener is behind the proxy."""
    with kafka.running(tmp_path_factory, advertise=proxy.add) as server:
        yield server


def start(world):
    """Starts an instance behind the proxy and waits for some counts; returns (instance, port)."""
    address = world.broker.proxied_address
    instance = world.run(kafka__bootstrap__servers=address, **CLIENTS)
    instance.wait_assigned(4)
    world.wait_counted(2000)
    return instance, int(address.split(":")[1])


def blind(proxy, port):
    """Waits until both clients of the instance have got metadata without brokers."""
    proxy.set(port, "blind")
    wait.until(lambda: {"reads", "writes"} <= proxy.blinded(port), 60,
               "both clients to see no brokers")


def test_goes_on_with_those_of_the_configuration(world, proxy):
    """librdkafka alone forgets all brokers and never asks again (librdkafka issue 5301)."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance, port = start(world)
        blind(proxy, port)
        proxy.set(port, "pass")
        feed.wait_for_more(2000)
    world.verify(load, instance)
    instance.stop()


def test_ends_in_time_without_brokers(world, proxy):
    """The instance cannot leave the group or drain anything, but still exits in time."""
    load = world.make_load()
    with load.feed(RATE):
        instance, port = start(world)
        blind(proxy, port)
        instance.stop(30)
        proxy.set(port, "pass")
    world.verify(load, world.run().wait_ready())

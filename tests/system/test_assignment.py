"""What an assignment waits for: not for Redis, nor for Kafka once for each partition."""

import pytest

import kafka
import proxy as proxies
import verify
import wait

DELAY_S = 0.1  # of each request and each reply, in the tests that need a slow Kafka


@pytest.fixture(scope="module")
def proxy():
    """The proxy in front of this module's broker."""
    return proxies.Proxy()


@pytest.fixture(scope="module")
def broker(proxy, tmp_path_factory):
    """A broker whose third listener is behind the proxy."""
    with kafka.running(tmp_path_factory, advertise=proxy.add) as server:
        yield server


def test_a_hung_redis_delays_no_partition_of_a_dead_instance(world):
    """Its partitions are published again as soon as the group has given them to another."""
    load = world.make_load()
    options = {"redis__timeout_ms": 60000}
    dead, left = world.run("dead", **options), world.run("left", **options)
    world.wait_shared(dead, left)
    load.produce(1000)
    world.wait_quiet()
    world.redis_server.pause()
    dead.kill()
    load.produce(2000)
    ends = world.place.ends()
    wait.until(lambda: world.place.published() == ends, 15,
               lambda: f"all of {ends} to be published, now {world.place.published()}",
               alive=world.alive)
    assert left.metric("rollcall_assigned_partitions") == 4
    left.wait_log("Redis has not answered yet")
    world.redis_server.resume()
    world.verify(load, left)
    left.wait_ready()
    left.stop()


def test_an_answer_of_redis_in_time_costs_no_rewind(world):
    """A partition that has counts and no lag begins where it was left."""
    load = world.make_load()
    first = world.run("first")
    load.produce(1000)
    world.wait_quiet()
    first.stop()
    load.produce(1000)
    second = world.run("second")
    world.verify(load, second)
    assert second.metric("rollcall_records_consumed_total") == 1000
    assert second.metric("rollcall_rewinds_total") == 0
    second.stop()


def test_many_partitions_start_at_once(world, proxy):
    """Each question to Kafka takes 200 ms, and 64 partitions are given at once."""
    load = world.make_load(64)
    load.produce(6400)
    address = world.broker.proxied_address
    proxy.set(int(address.split(":")[1]), "delay", DELAY_S)
    instance = world.run(kafka__bootstrap__servers=address, redis__checkpoint_ms=500)
    wait.until(lambda: instance.metric("rollcall_records_consumed_total") == 6400, 10,
               "all partitions to be read", alive=world.alive)
    proxy.set(int(address.split(":")[1]), "pass")
    world.verify(load, instance)
    assert instance.metric("rollcall_rewinds_total") == 0
    instance.stop()


def test_what_comes_once_it_is_ready_is_read(world, proxy):
    """Also where a group begins at the latest record, and Kafka takes its time to say which."""
    load = world.make_load()
    load.produce(500)
    before = len(load.records)
    address = world.broker.proxied_address
    proxy.set(int(address.split(":")[1]), "delay", DELAY_S)
    instance = world.run(input__start="latest", kafka__bootstrap__servers=address)
    instance.wait_ready()
    load.produce(600)
    proxy.set(int(address.split(":")[1]), "pass")
    world.wait_quiet()
    verify.check_all(world.place, load.records[before:], instance)
    instance.stop()

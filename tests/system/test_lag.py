"""Lag in records and seconds, retention headroom and dependencies, on a real Kafka and Redis."""

import json
import math
import time

import pytest
from confluent_kafka import Producer

import kafka
import proxy as proxies
import wait

LAGS = ("rollcall_lag_records", "rollcall_counted_lag_records", "rollcall_lag_seconds",
        "rollcall_counted_lag_seconds")
HEADROOM = "rollcall_retention_headroom_seconds"
QUICK = {"redis__timeout_ms": 2000}


def login(second=1720569600):
    """A login as JSON bytes."""
    return json.dumps({"user_id": "u", "locale": "PA", "device_type": "web",
                       "timestamp": second}).encode()


def send(broker, topic, partition, ages):
    """Writes logins whose Kafka timestamps are so many seconds ago; returns these timestamps."""
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    times = [time.time() - age for age in ages]
    for written_at in times:
        producer.produce(topic, login(int(written_at)), None, partition,
                         timestamp=int(written_at * 1000))
    assert producer.flush(30) == 0
    return times


def lag(instance, name, partition=0):
    """A gauge of a partition, or None if it is not shown."""
    return instance.metrics().get((name, (("partition", str(partition)),)))


def wait_lag(instance, name, wanted, partition=0, seconds=20):
    """Waits until a gauge of a partition is as wanted."""
    return wait.until(lambda: lag(instance, name, partition) is not None
                      and wanted(lag(instance, name, partition)), seconds,
                      lambda: f"{name} of {partition}, now {lag(instance, name, partition)}",
                      alive=instance.check_alive)


def wait_idle(world, instance, partitions=1):
    """Waits until both watermarks stand at the end of the input, and nothing lags."""
    def offsets():
        """Redis', the group's, and the end's; a marker is written after a commit has returned."""
        return [{p: offset for p, offset in found.items() if offset > 0}
                for found in (world.place.counted(), world.place.published(),
                              world.broker.end_offsets(world.topic))]

    def are_equal():
        counted, published, end = offsets()
        return counted == published == end

    wait.until(are_equal, 20, lambda: f"both watermarks to reach the end: {offsets()}", every=0.1)
    for partition in range(partitions):
        for name in LAGS:
            wait_lag(instance, name, lambda value: value == 0, partition)
        assert lag(instance, HEADROOM, partition) in (None, math.inf)


def transact(producer, topic, partition, count, commit=True):
    """Writes count logins in one transaction."""
    producer.begin_transaction()
    for _ in range(count):
        producer.produce(topic, login(), None, partition)
    producer.flush(30)
    if commit:
        producer.commit_transaction(30)
    else:
        producer.abort_transaction(30)


@pytest.mark.coverage
@pytest.mark.timeout(180)
def test_transaction_markers_at_the_end(world):
    """Both watermarks pass a marker, and records of aborted transactions, that nothing follows."""
    world.create_input(2)
    producer = Producer({"bootstrap.servers": world.broker.address, "log_level": 0,
                         "transactional.id": world.topic})
    producer.init_transactions(30)
    instance = world.run().wait_ready()
    for commit in (True, True, False):
        transact(producer, world.topic, 0, 5, commit)
        wait_idle(world, instance)
    assert world.broker.end_offsets(world.topic)[0] == 18
    assert instance.metric("rollcall_records_counted_total") == 10
    # A partition with nothing but an aborted transaction.
    transact(producer, world.topic, 1, 3, commit=False)
    wait_idle(world, instance, 2)
    # One more record; and what the next owner begins with.
    transact(producer, world.topic, 0, 1)
    wait_idle(world, instance, 2)
    instance.stop()
    again = world.run().wait_ready()
    again.wait_assigned(2)
    wait_idle(world, again, 2)
    # Redis forgets all: it is counted again up to behind the last marker.
    with world.redis_server.client() as client:
        client.flushall()
    wait.until(lambda: again.metric("rollcall_rewinds_total", cause="vanished") >= 1, 20,
               "the counts to be missed")
    wait_idle(world, again, 2)
    assert again.metric("rollcall_records_counted_total") == 11
    assert sum(again.snapshot()["Logins by Locale"].values()) == 11
    again.stop()


@pytest.mark.timeout(180)
def test_seconds_are_those_of_the_oldest_record(world):
    """While Redis hangs, only the counted side is behind, by the age of its first record."""
    world.broker.create_topic(world.topic, 2, retention__ms=7200 * 1000)
    instance = world.run(**QUICK).wait_ready()
    instance.wait_assigned(2)
    send(world.broker, world.topic, 0, [50, 40])
    wait_idle(world, instance, 2)
    world.redis_server.pause()
    first = send(world.broker, world.topic, 0, [600, 900, 300])[0]
    wait_lag(instance, "rollcall_counted_lag_records", lambda value: value == 3)
    wait_lag(instance, "rollcall_lag_seconds", lambda value: value == 0)
    for _ in range(3):
        before = time.time() - first
        shown = lag(instance, "rollcall_counted_lag_seconds")
        assert before - 0.3 <= shown <= time.time() - first + 0.3
        time.sleep(1)
    headroom = lag(instance, HEADROOM)
    assert headroom == pytest.approx(first + 7200 - time.time(), abs=2)
    assert lag(instance, "rollcall_counted_lag_seconds", 1) == 0 and \
        lag(instance, HEADROOM, 1) == math.inf
    wait.until(lambda: instance.metric("rollcall_dependency_up", target="redis") == 0, 15,
               "Redis to be shown as down")
    assert instance.metric("rollcall_dependency_up", target="kafka") == 1
    assert instance.metric("rollcall_threads_stuck") == 0
    world.redis_server.resume()
    wait_idle(world, instance, 2)
    wait.until(lambda: instance.metric("rollcall_dependency_up", target="redis") == 1, 15,
               "Redis to be shown as up")
    instance.stop()


@pytest.mark.timeout(180)
def test_seconds_after_a_rewind(world):
    """After Redis came back empty, and with publishing impossible, the ages are still exact."""
    world.create_input(1)
    instance = world.run(producer__topic__metadata__propagation__max__ms=500,
                         producer__topic__metadata__refresh__interval__ms=500, **QUICK).wait_ready()
    instance.wait_assigned(1)
    old = send(world.broker, world.topic, 0, [5000, 4000])[0]
    wait_idle(world, instance)
    world.broker.delete_topic(world.output)
    unpublished = send(world.broker, world.topic, 0, [1000, 2000])[0]
    for _ in range(2):  # every attempt is a rewind
        aborted = instance.metric("rollcall_transactions_aborted_total")
        wait.until(lambda: instance.metric("rollcall_transactions_aborted_total") > aborted, 60,
                   "a transaction to be aborted")
        shown = wait_lag(instance, "rollcall_lag_seconds", lambda value: value > 0)
        assert shown and lag(instance, "rollcall_lag_seconds") == \
            pytest.approx(time.time() - unpublished, abs=1)
    wait_lag(instance, "rollcall_counted_lag_seconds", lambda value: value == 0)
    # The counts are gone: their oldest record is the first one, as soon as it is read again.
    world.redis_server.pause()
    time.sleep(0.5)
    world.redis_server.kill()
    world.redis_server.start()
    wait.until(lambda: instance.metric("rollcall_rewinds_total", cause="vanished") == 1, 30,
               "the counts to be missed")
    wait.until(lambda: world.counted_total() == 4, 30, "all to be counted again")
    wait_lag(instance, "rollcall_counted_lag_seconds", lambda value: value == 0)
    assert lag(instance, "rollcall_lag_seconds") == pytest.approx(time.time() - unpublished, abs=1)
    assert old < unpublished
    world.broker.create_topic(world.output, 1)
    wait_idle(world, instance)
    instance.stop()


@pytest.mark.timeout(240)
def test_kafka_out_of_reach(world, tmp_path_factory):
    """What was read and is not published grows older; what is not read yet is not invented."""
    proxy = proxies.Proxy()
    with kafka.running(tmp_path_factory, advertise=proxy.add) as broker:
        port = int(broker.proxied_address.split(":")[1])
        broker.create_topic(world.topic, 1)
        world.options["kafka.bootstrap.servers"] = broker.proxied_address
        instance = world.run(output__commit_ms=4000, redis__checkpoint_ms=100,
                             producer__transaction__timeout__ms=60000,
                             consumer__session__timeout__ms=20000).wait_ready()
        instance.wait_assigned(1)
        wait.until(lambda: instance.metric("rollcall_dependency_up", target="kafka") == 1, 10,
                   "Kafka to be shown as up")
        send(broker, world.topic, 0, [500])  # nothing is counted before the group's first commit
        wait_lag(instance, "rollcall_counted_lag_seconds", lambda value: value > 499)
        wait_lag(instance, "rollcall_counted_lag_seconds", lambda value: value == 0)
        first = send(broker, world.topic, 0, [100, 70])[0]
        wait_lag(instance, "rollcall_lag_seconds", lambda value: value > 99)
        wait_lag(instance, "rollcall_counted_lag_seconds", lambda value: value == 0)
        wait_lag(instance, "rollcall_lag_seconds", lambda value: value > 99)
        proxy.set(port, "hole")
        wait.until(lambda: instance.metric("rollcall_dependency_up", target="kafka") == 0, 20,
                   "Kafka to be shown as down")
        assert instance.metric("rollcall_dependency_up", target="redis") == 1
        for _ in range(3):
            assert lag(instance, "rollcall_lag_seconds") == \
                pytest.approx(time.time() - first, abs=0.5)
            assert lag(instance, "rollcall_counted_lag_seconds") == 0
            time.sleep(1)
        proxy.set(port, "pass")
        wait.until(lambda: instance.metric("rollcall_dependency_up", target="kafka") == 1, 30,
                   "Kafka to be shown as up again")
        wait_lag(instance, "rollcall_lag_seconds", lambda value: value == 0, seconds=60)
        instance.stop(60)


def test_process_metrics(world):
    """The standard metrics of a process agree with what the system says of it."""
    world.create_input(1)
    instance = world.run().wait_ready()
    with open(f"/proc/{instance.pid()}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    with open("/proc/stat") as stat:
        booted = next(int(line.split()[1]) for line in stat if line.startswith("btime"))
    assert instance.metric("process_start_time_seconds") == \
        pytest.approx(booted + int(fields[19]) / 100, abs=0.1)
    assert 0 < instance.metric("process_cpu_seconds_total") < 30
    assert instance.metric("process_resident_memory_bytes") == \
        pytest.approx(instance.peak_memory_mb() * 2 ** 20, rel=0.5)
    assert instance.metric("process_virtual_memory_bytes") > \
        instance.metric("process_resident_memory_bytes")
    assert 5 < instance.metric("process_open_fds") < instance.metric("process_max_fds")
    metrics = instance.metrics()
    for result in ("ok", "refused"):
        assert metrics["rollcall_config_reloads_total", (("result", result),)] == 0
    instance.stop()

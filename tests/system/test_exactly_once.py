"""The promise, on real Kafka and Redis: whatever happens, everything is exact once work is done."""

import time

import pytest

import kafka
import oracle
import rollcall
import verify
import wait

RATE = 4000  # records per second of the load during the tests


@pytest.mark.timeout(240)
@pytest.mark.parametrize("count", [
    pytest.param(10_000, marks=[pytest.mark.sanitizer, pytest.mark.coverage]), 100_000])
def test_mixed_load(world, count):
    load = world.make_load()
    load.produce(count)
    instance = world.run()
    expected = world.verify(load, instance, seconds=120)
    assert len(expected.rejected) == 6 and expected.anomalies, \
        "the load lacks a reason or an anomaly"
    instance.stop()
    verify.check_log(instance.log())
    anomalies = [line for line in instance.log().splitlines() if "Anomaly detected" in line]
    assert anomalies and all("warn" in line for line in anomalies)


def test_planned_stops_lose_and_repeat_nothing(world):
    load = world.make_load()
    with load.feed(RATE) as feed:
        for _ in range(3):
            instance = world.run().wait_ready()
            feed.wait_for_more(3000)
            instance.stop()
    instance = world.run()
    world.verify(load, instance)
    consumed = instance.metric("rollcall_records_consumed_total")
    assert consumed < len(load.records), "the last instance read everything again"


@pytest.mark.timeout(240)
def test_three_instances_with_joins_and_leaves(world):
    load = world.make_load()
    with load.feed(RATE) as feed:
        first = world.run("first")
        first.wait_assigned(4)
        second, third = world.run("second"), world.run("third")
        world.wait_shared(first, second, third)
        feed.wait_for_more(4000)
        second.stop()
        world.wait_shared(first, third)
        fourth = world.run("fourth")
        world.wait_shared(first, third, fourth)
        feed.wait_for_more(4000)
        first.stop()
        third.stop()
        fourth.wait_assigned(4)
        feed.wait_for_more(2000)
    world.verify(load, fourth)
    fourth.stop()


@pytest.mark.sanitizer
@pytest.mark.coverage
def test_one_joins_and_leaves(world):
    load = world.make_load()
    with load.feed(RATE / 4) as feed:
        first = world.run("first")
        first.wait_assigned(4)
        second = world.run("second")
        world.wait_shared(first, second)
        feed.wait_for_more(1000)
        second.stop()
        first.wait_assigned(4)
        feed.wait_for_more(500)
    world.verify(load, first)
    first.stop()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("instance_id", [pytest.param("stable-1", marks=pytest.mark.sanitizer), ""],
                         ids=["stable", "random"])
def test_kill_and_restart(world, instance_id):
    load = world.make_load()
    options = {"consumer__session__timeout__ms": 3000}
    if instance_id:
        options["instance__id"] = instance_id
    with load.feed(RATE) as feed:
        for _ in range(4):
            instance = world.run(**options)
            world.wait_counted(world.counted_total() + 3000)
            feed.wait_for_more(500)
            instance.kill()
    instance = world.run(**options)
    world.verify(load, instance)
    instance.stop()


@pytest.mark.timeout(180)
def test_one_of_two_is_killed_and_not_replaced(world):
    load = world.make_load()
    with load.feed(RATE) as feed:
        first, second = (world.run(consumer__session__timeout__ms=3000) for _ in range(2))
        world.wait_shared(first, second)
        feed.wait_for_more(2000)
        first.kill()
        second.wait_assigned(4)
        feed.wait_for_more(2000)
    world.verify(load, second)


@pytest.mark.timeout(180)
def test_zombie(world):
    """An instance is suspended past its session timeout and resumes after another took over."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        first = world.run("first")
        first.wait_assigned(4)
        second = world.run("second")
        world.wait_shared(first, second)
        for _ in range(2):
            feed.wait_for_more(2000)
            first.pause()
            second.wait_assigned(4)
            world.wait_counted(world.counted_total() + 2000)
            first.resume()
            world.wait_shared(first, second)
        feed.wait_for_more(1000)
    first.check_alive()
    world.verify(load, second)
    first.stop()
    second.stop()


@pytest.mark.timeout(180)
def test_alone_paused_past_the_session_timeout(world):
    """No other instance takes over: the suspended one itself rejoins as a new member."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run(consumer__session__timeout__ms=3000)
        instance.wait_assigned(4)
        feed.wait_for_more(3000)
        instance.pause()
        wait.until(lambda: world.broker.members(world.group) == 0, 30,
                   "the group to lose its member", every=0.2)
        instance.resume()
        instance.wait_assigned(4)
        feed.wait_for_more(1000)
    world.verify(load, instance)
    instance.stop()


def _open_transaction(world):
    topics = (world.output, world.rejected)
    return any(world.broker.stable_offsets(topic) != world.broker.end_offsets(topic)
               for topic in topics)


@pytest.mark.timeout(180)
def test_transaction_aborted_by_timeout(world):
    """An instance is suspended for longer than its transaction timeout, but stays a member."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run(producer__transaction__timeout__ms=2000,
                             consumer__session__timeout__ms=30000)
        instance.wait_assigned(4)
        for _ in range(2):
            world.wait_counted(world.counted_total() + 2000)

            def caught_in_a_transaction():
                feed.wait_for_more(100)
                instance.pause()
                if _open_transaction(world):
                    return True
                instance.resume()
                return False

            wait.until(caught_in_a_transaction, 30, "a pause within an open transaction")
            wait.until(lambda: not _open_transaction(world), 20, "the broker to abort it",
                       every=0.2)
            instance.resume()
        world.wait_counted(world.counted_total() + 2000)
    world.verify(load, instance)
    assert instance.metric("rollcall_transactions_aborted_total") > 0
    instance.stop()


@pytest.mark.sanitizer
@pytest.mark.coverage
@pytest.mark.redis(append_only=True)
def test_redis_killed_and_restarted(world):
    load = world.make_load()
    with load.feed(RATE / 2) as feed:
        instance = world.run()
        for _ in range(3):
            world.wait_counted(world.counted_total() + 1500)
            world.redis_server.kill()
            feed.wait_for_more(2000)
            world.redis_server.start()
    world.verify(load, instance)
    instance.stop()


def test_redis_hangs(world):
    """Redis stops responding with connections open, then continues as if nothing had happened."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run(redis__timeout_ms=1000)
        for _ in range(2):
            world.wait_counted(world.counted_total() + 2000)
            world.redis_server.pause()
            wait.until(lambda: not instance.is_ready(), 30, "/readyz to fail while Redis hangs")
            feed.wait_for_more(1000)
            world.redis_server.resume()
    world.verify(load, instance)
    instance.stop()


@pytest.mark.redis(append_only=True)
def test_redis_away_for_longer_than_its_timeout(world):
    """Records are still published meanwhile; their counts wait, merged."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run(redis__timeout_ms=1000)
        world.wait_counted(2000)
        world.redis_server.kill()
        before = len(load.records)
        feed.wait_for_more(12000)
        wait.until(lambda: sum(world.place.published().values()) > before + 6000, 30,
                   "records to be published while Redis is down", alive=world.alive)
        wait.until(lambda: not instance.is_ready(), 30, "/readyz to fail while Redis is down")
        world.redis_server.start()
    world.verify(load, instance)
    instance.wait_ready()
    instance.stop()


@pytest.mark.parametrize("how", ["under_load", "idle"])
def test_redis_restored_from_an_older_copy(world, how):
    load = world.make_load()
    instance = world.run()
    load.produce(3000)
    world.wait_counted(3000)
    copy = world.redis_server.save_copy()
    if how == "idle":
        load.produce(3000)
        world.wait_counted(6000)
        world.redis_server.restore(copy)
    else:
        with load.feed(RATE) as feed:
            world.wait_counted(6000)
            world.redis_server.restore(copy)
            feed.wait_for_more(2000)
    world.verify(load, instance)
    assert instance.metric("rollcall_rewinds_total") > 0
    instance.stop()


def test_redis_restored_while_no_instance_runs(world):
    load = world.make_load()
    load.produce(2000)
    first = world.run("first")
    world.wait_quiet()
    copy = world.redis_server.save_copy()
    load.produce(2000)
    world.wait_quiet()
    first.stop()
    world.redis_server.restore(copy)
    load.produce(1000)
    second = world.run("second")
    world.verify(load, second)
    second.stop()


@pytest.mark.parametrize("instances", [1, 2])
def test_redis_flushed_while_idle(world, instances):
    """No new records arrive: the instances must notice by themselves."""
    load = world.make_load()
    load.produce(4000)
    running = [world.run() for _ in range(instances)]
    world.wait_shared(*running)
    world.wait_quiet()
    with world.redis_server.client() as client:
        client.flushall()
    world.verify(load, running[0])
    for instance in running:
        instance.stop()


def test_redis_flushed_while_no_instance_runs(world):
    load = world.make_load()
    load.produce(3000)
    first = world.run("first")
    world.wait_quiet()
    first.stop()
    with world.redis_server.client() as client:
        client.flushall()
    second = world.run("second")
    world.verify(load, second)
    assert "level=warn" in second.log(), "the counts are rebuilt without a warning"
    second.stop()


def test_redis_flushed_under_load_and_killed(world):
    load = world.make_load()
    with load.feed(RATE) as feed:
        first = world.run("first", instance__id="a")
        world.wait_counted(4000)
        with world.redis_server.client() as client:
            client.flushall()
        feed.wait_for_more(1000)
        first.kill()
        second = world.run("second", instance__id="a")
        feed.wait_for_more(1000)
    world.verify(load, second)
    second.stop()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", [kafka.Kafka.stop, kafka.Kafka.kill], ids=["stopped", "killed"])
def test_broker_restart(world, how):
    load = world.make_load()
    with load.feed(RATE) as feed:
        first, second = world.run(), world.run()
        world.wait_shared(first, second)
        world.wait_counted(3000)
        how(world.broker)
        world.broker.start()
        feed.wait_for_more(3000)
    world.verify(load, first, seconds=90)
    first.check_alive()
    second.check_alive()
    first.stop()
    second.stop()


@pytest.mark.timeout(240)
def test_broker_killed_with_an_open_transaction(world):
    """It times out meanwhile, and the broker aborts it as soon as it is back; that of Kafka 4.3 and
    4.4 forgets the markers."""
    load = world.make_load()
    timeout_s = 4
    options = {"output__commit_ms": 2000, "producer__transaction__timeout__ms": 1000 * timeout_s}
    with load.feed(RATE) as feed:
        first = world.run(**options).wait_ready()
        wait.until(lambda: _is_open(world), 60, "records in a transaction", alive=world.alive)
        first.kill()
        world.broker.kill()
        time.sleep(timeout_s + 1)
        world.broker.start()
        wait.until(lambda: not _is_open(world), 60, "the broker to abort the open transaction")
        feed.wait_for_more(1000)
    second = world.run(**options)
    world.verify(load, second)
    second.stop()


def _is_open(world):
    ends = world.broker.end_offsets(world.output)
    return world.broker.stable_offsets(world.output) != ends


@pytest.mark.timeout(180)
def test_at_least_once(world):
    """Without transactions, counts stay exact; the output may have duplicates but lacks nothing."""
    load = world.make_load()
    options = {"output__guarantee": "at_least_once", "consumer__session__timeout__ms": 3000}
    with load.feed(RATE) as feed:
        for _ in range(2):
            instance = world.run(**options)
            world.wait_counted(world.counted_total() + 3000)
            feed.wait_for_more(500)
            instance.kill()
    instance = world.run(**options)
    world.verify(load, instance, guarantee="at_least_once")
    instance.stop()


@pytest.mark.timeout(180)
def test_partitions_added_to_output_and_input(world):
    """New partitions are found while running, and records keep their partition numbers."""
    load = world.make_load()
    instance = world.run(kafka__topic__metadata__refresh__interval__ms=1000)
    with load.feed(RATE) as feed:
        feed.wait_for_more(2000)
    world.wait_quiet()
    world.broker.grow_topics((world.output, world.rejected, world.topic), 6)
    grown = world.make_load(6)
    with grown.feed(RATE) as feed:
        instance.wait_assigned(6)
        feed.wait_for_more(4000)
    grown.records += load.records
    world.verify(grown, instance)
    instance.stop()


def test_partitions_added_to_the_input_alone(world):
    """From then on records are partitioned by key, also those of the old partitions."""
    load = world.make_load()
    instance = world.run(kafka__topic__metadata__refresh__interval__ms=1000)
    load.produce(500)
    world.wait_quiet()
    world.broker.grow_topics([world.topic], 6)
    instance.wait_assigned(6)
    before = len(verify.read_committed(world.broker, world.output))
    value = b'{"locale":"a","device_type":"b","timestamp":1720569600}'
    grown = world.make_load(6)
    for partition in range(6):
        grown.send(partition, b"one key", value, 1720569600000)
    grown.flush()
    world.wait_quiet()
    reads = verify.read_committed(world.broker, world.output)
    added = [read for read in reads if read.key == b"one key"]
    assert len(reads) == before + 6 and len(added) == 6
    assert {read.partition for read in added} == {oracle.java_partition(b"one key", 4)}
    instance.stop()


@pytest.mark.timeout(180)
def test_redis_that_became_a_replica_is_left_for_the_new_master(world):
    """The old connection stays open but returns READONLY: only a new one reaches the master."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(3000)
        with world.redis_server.client() as client:
            client.replicaof("127.0.0.1", 1)  # no server there, so every write gets READONLY
            wait.until(lambda: not instance.is_ready(), 30,
                       "/readyz to fail while Redis is read-only")
            feed.wait_for_more(1000)
            opened = client.info("stats")["total_connections_received"]
            wait.until(lambda: client.info("stats")["total_connections_received"] > opened, 30,
                       "a new connection")
            client.replicaof("NO", "ONE")
    world.verify(load, instance)
    instance.stop()


def test_consumer_protocol(world):
    """KIP-848: the same promises with the broker-side assignor."""
    options = rollcall.CONSUMER_PROTOCOL
    if not rollcall.knows_consumer_protocol():
        done = world.execute("run", **options)
        assert done.returncode == 2 and "needs librdkafka 2.12" in done.stderr, done.stderr
        return
    if not rollcall.has_consumer_protocol():
        pytest.skip(rollcall.NO_CONSUMER_PROTOCOL)
    load = world.make_load()
    with load.feed(RATE) as feed:
        first = world.run("first", **options)
        first.wait_assigned(4)
        second = world.run("second", **{**options, "consumer__group__protocol": None,
                                        "kafka__group__protocol": "consumer"})
        world.wait_shared(first, second)
        feed.wait_for_more(2000)
        first.kill()
        second.wait_assigned(4, seconds=60)
        feed.wait_for_more(1000)
    world.verify(load, second)
    second.stop()


@pytest.mark.skipif("not rollcall.has_consumer_protocol()", reason=rollcall.NO_CONSUMER_PROTOCOL)
def test_consumer_protocol_takes_an_instance_back_at_once_after_a_kill(world):
    """A static member would be rejected until its old session had expired."""
    load = world.make_load()
    options = {"instance__id": "same", **rollcall.CONSUMER_PROTOCOL}
    with load.feed(RATE) as feed:
        for name in ("first", "second", "third"):
            instance = world.run(name, **options)
            instance.wait_assigned(4)
            feed.wait_for_more(1000)
            if name != "third":
                instance.kill()
    world.verify(load, instance)
    instance.stop()


def test_static_member_comes_back_and_reads_nothing_again(world):
    load = world.make_load()
    load.produce(4000)
    first = world.run("first", instance__id="static-1", consumer__session__timeout__ms=30000)
    world.wait_quiet()
    first.stop()
    assert world.broker.members(world.group) == 1, "a static member must not leave the group"
    load.produce(1000)
    second = world.run("second", instance__id="static-1", consumer__session__timeout__ms=30000)
    world.verify(load, second)
    assert second.metric("rollcall_records_consumed_total") == 1000
    assert second.metric("rollcall_rewinds_total") == 0
    second.stop()

"""Tests the harness itself: it must fail, with a reason, on a result that is off by one."""

import socket
import threading
import types

import pytest
from confluent_kafka import Producer

import checks
import continuity
import fault
import fault_broker  # these five modules register their faults in the table
import fault_cluster
import fault_fleet
import fault_redis
import fault_sentinel
import hyperloglog
import oracle
import proxy
import reader
import records
import users
import verify
import wait
import world as world_module

COUNT = 4000

pytestmark = pytest.mark.timeout(300)


def _record(records_, partition, number):
    """Returns the input record with this number in a partition, as an oracle.Record."""
    made = records_.template(partition, number)
    value = made.head
    if made.tail is not None:
        value += records.tag_of(partition, number) + made.tail
    return oracle.Record(partition, number, made.key, value, made.timestamp_ms, made.headers)


def test_counts_are_those_of_the_oracle_record_by_record():
    """Counts computed from templates equal those from judging every single record."""
    source = records.Records("some seed")
    counts = {0: 12345, 2: 999, 5: 6001}
    plain = oracle.Expected((_record(source, p, n) for p, count in counts.items()
                             for n in range(count)), counts=records.COUNTS)
    found = source.expected(counts)
    assert found.snapshot() == plain.snapshot()
    assert found.accepted_count == plain.accepted_count
    assert set(found.rejected) == set(oracle.REASONS)
    assert found.anomalies == plain.anomalies
    longer = source.expected(dict.fromkeys(range(4), 1_000_000))
    assert {10, 11} <= set(longer.minutes.values())
    for partition, published in plain.published.items():
        numbers = [r.offset for r in published]
        assert numbers == sorted(numbers)
        for record in published:
            made = source.template(partition, record.offset)
            tag = records.tag_of(partition, record.offset)
            assert record.key == (tag if made.out_key is records.TAG else made.out_key)


def test_records_that_are_not_counted_are_left_out():
    """Also those of minutes of their own."""
    source = records.Records("some seed")
    counts, without = {0: 12345, 2: 999}, {0: range(11000, 12001)}
    plain = oracle.Expected((_record(source, p, n) for p, count in counts.items()
                             for n in range(count) if n not in without.get(p, ())),
                            counts=records.COUNTS)
    found = source.expected(counts, without)
    assert found.snapshot() == plain.snapshot()
    assert found.anomalies == plain.anomalies


@pytest.mark.parametrize("offset, lineage, number, is_without", [
    (100, "0:99:3@0,4@50", 100, False),  # stored before the log was cut off at 90
    (95, "0:94:3@0,4@50", 95, False),
    (90, "1:89:3@0,4@50", 100, False),  # it has gone back
    (95, "1:94:4@50,6@90", 105, False),
    (95, "0:94:4@50,6@90", 105, True),  # counted once more from the beginning
    (90, "0:89:4@50", 90, False),
    (90, "0:", 90, False),
])
def test_what_an_offset_means_after_a_cut(offset, lineage, number, is_without):
    cuts = {7: world_module.Cut(range(90, 100), 4)}
    found = checks.counted_numbers({b"7": b"%d" % offset, b"8": b"5"},
                                   {b"7": f"{offset} {lineage}".encode()}, cuts)
    assert found == ({7: number, 8: 5}, {7: range(90, 100)} if is_without else {})


def test_distinct_counts_go_back_and_forth():
    """As Redis does: each time the registers are those of the records that are counted."""
    source = records.Records("some seed")
    for counts, without in (({0: 2000, 1: 1500}, {}), ({0: 3000, 1: 1500}, {}),
                            ({0: 100, 1: 1600}, {}), ({0: 3000}, {}), ({0: 3000, 1: 1700}, {}),
                            ({0: 3100, 1: 1700}, {0: range(2900, 3050)})):
        plain = oracle.Expected((_record(source, p, n) for p, count in counts.items()
                                 for n in range(count) if n not in without.get(p, ())),
                                counts=records.COUNTS).count_keys
        found = source.expected(counts, without).count_keys
        assert found.keys() == plain.keys()
        for key, values in plain.items():
            if isinstance(values, set):
                verify.same_registers(key, _dense(found[key]), hyperloglog.registers(values))


def test_distinct_counts_of_two_threads_do_not_mix(monkeypatch):
    """A moment is looked at while a stop computes what all records must leave."""
    source, advance, others = records.Records("some seed"), users.State.advance, []

    def advance_and_ask_elsewhere(state, wanted, news):
        advance(state, wanted, news)
        if not others:
            others.append(threading.Thread(target=source.expected, args=({0: 3000},)))
            others[0].start()
            others[0].join(0.5)

    monkeypatch.setattr(users.State, "advance", advance_and_ask_elsewhere)
    found = source.expected({0: 2000}).count_keys
    others[0].join()
    assert found == records.Records("some seed").expected({0: 2000}).count_keys


def _dense(ranks):
    """The ranks of all registers, as Redis has them."""
    bits = sum(rank << 6 * register for register, rank in enumerate(ranks))
    return b"HYLL" + bytes(12) + bits.to_bytes(len(ranks) * 6 // 8, "little")


def test_a_seed_gives_the_same_faults_again():
    """The schedule depends only on the seed, and every fault occurs in it."""
    every = fault.select([], 1)

    def some():
        schedule = fault.Schedule(5, every, 4)
        return [schedule.next() for _ in range(2000)]

    first = some()
    assert first == some()
    assert {chosen.name for _, _, chosen, _ in first} == {f.name for f in every}
    with pytest.raises(ValueError, match="no fault"):
        fault.select(["kil"], 1)


def test_a_topology_has_its_own_faults():
    """And those of instances and brokers."""
    by_topology = {name: {f.name for f in fault.select([], 1, name)}
                   for name in ("single", "sentinel", "cluster")}
    assert set.intersection(*by_topology.values()) >= {"kill", "rolling", "broker_kill"}
    assert "redis_kill" in by_topology["single"] and "expelled" not in by_topology["cluster"]
    assert "sentinel_kill" in by_topology["sentinel"] - by_topology["single"]
    assert "cluster_move" in by_topology["cluster"] - by_topology["sentinel"]
    with pytest.raises(ValueError, match="topology"):
        fault.select(["redis"], 1, "sentinel")


@pytest.fixture
def echo():
    """The proxy, and a route to a server that says back what it hears, with 15001 for 15002."""
    server = socket.create_server(("127.0.0.1", 0))

    def say_back(peer):
        while data := peer.recv(1000):
            peer.sendall(data)

    def serve():
        while True:
            threading.Thread(target=say_back, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    made = proxy.Proxy()
    yield made, made.add(server.getsockname()[1], {15001: 15002})
    made.worker.kill()


def _connect(port, source):
    return socket.create_connection(("127.0.0.1", port), 10, (source, 0))


def _is_silent(peer):
    peer.settimeout(0.5)
    try:
        peer.recv(100)
        return False
    except TimeoutError:
        return True
    finally:
        peer.settimeout(10)


def test_the_proxy_separates_by_address_and_renames_ports(echo):
    made, port = echo
    near, far = _connect(port, "127.0.0.1"), _connect(port, "127.0.1.9")
    near.sendall(b"$5\r\n15001\r\n115001 15001\r\n")
    assert near.recv(100) == b"$5\r\n15002\r\n115001 15002\r\n"
    far.sendall(b"before")
    assert far.recv(100) == b"before"
    made.set(port, "hole", ["127.0.1.9"])
    far.sendall(b"held")
    near.sendall(b"heard")
    assert near.recv(100) == b"heard" and _is_silent(far)
    made.set(port, "pass")
    assert far.recv(100) == b"held"
    made.set(port, "cut", ["127.0.1.9"])
    assert far.recv(100) == b""
    near.sendall(b"still")
    assert near.recv(100) == b"still"


class _Pretended:
    """A world whose server of the counts changes from 900 counted records to 700, then 900."""

    def __init__(self):
        self.master, self.place = self, types.SimpleNamespace(prefix="{x}")
        self.redis, self.port = self, 1
        self.fleet = types.SimpleNamespace(running=lambda: [])
        self.feeder = types.SimpleNamespace(acknowledged=[900], partition_count=1)
        self.reader = types.SimpleNamespace(accepted=[5], rejected=[0])

    def all_servers(self):
        return [self]


def test_what_is_noticed_of_a_failover(monkeypatch):
    world, now = _Pretended(), [100.0]
    monkeypatch.setattr(continuity.time, "monotonic", lambda: now[0])
    episode = continuity.Episode(world)
    counted = {}
    monkeypatch.setattr(continuity._Servers, "look",
                        lambda servers, _: servers.offsets.update(counted))

    def look(at, server, count, published):
        now[0] = 100.0 + at
        world.master, counted[server] = server, {0: count}
        world.reader.accepted[0] = published
        for sampler, _ in episode.samplers():
            sampler()
        episode.look_at_counts()
        return episode.is_over()

    assert look(0.0, "old", 900, 5)
    assert look(0.5, "old", 900, 5)
    assert not look(1.0, "new", 700, 6)
    assert not look(2.5, "new", 800, 6)
    assert look(3.0, "new", 900, 6)
    found = episode.noticed()
    assert (found.still_s, found.caught_up_s, found.back, found.back_s) == (2.0, [2.0], 200, 1.5)
    line, total = continuity.summaries([("kill", found)])
    assert "1, new masters: 1" in line and "200.0 / 200.0 records" in line and "all" in total


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A world in which one instance processed some records correctly."""
    settings = types.SimpleNamespace(seed=1, brokers=1, rate=COUNT, instances=1,
                                     group_protocol="classic", redis="single", min_replicas=0)
    made = world_module.World(str(tmp_path_factory.mktemp("chaos")), settings, print)
    try:
        made.start()
        made.begin_round()
        wait.until(lambda: made.feeder.total() > COUNT, 60, "records to be sent", alive=made.check)
        settle(made)
        yield made
    finally:
        made.close()


def settle(world):
    """Makes an exact stop; returns what was expected."""
    checks.settle(world, world.check)
    expected = world.records.expected(world.feeder.counts())
    for check in checks.EXACT.values():
        check(world, expected)
    return expected


def test_a_count_that_is_wrong_by_one_is_found(world):
    """The error is found at the stop and at any moment before it."""
    expected = settle(world)
    moment = checks.Moment(world)
    assert moment.look()
    prefix = world.place.prefix
    with world.redis.client() as client:
        for name, command, key, field in (
                ("locale", client.zincrby, "locale_counts", "PA"),
                ("rejected", client.hincrby, "rejected_counts", "empty"),
                ("2024-01-01", client.hincrby, "login_counts:2024-01-01", "00:00")):
            def change(by):
                swapped = command == client.zincrby
                command(f"{prefix}:{key}", *((by, field) if swapped else (field, by)))

            change(1)
            with pytest.raises(AssertionError, match=rf"{name}.*sum \+1"):
                moment.look()
            with pytest.raises(AssertionError, match=rf"{name}.*sum \+1"):
                checks.EXACT["redis"](world, expected)
            change(-1)
        assert moment.look()
        for key in ("count:users_by_device:android", "count:users_by_day:2024-01-01"):
            before = client.get(f"{prefix}:{key}")
            for changed in (lambda: client.pfadd(f"{prefix}:{key}", *range(20)),
                            lambda: client.delete(f"{prefix}:{key}")):
                changed()
                with pytest.raises(AssertionError, match=rf"{key}: .*registers differ"):
                    moment.look()
                client.set(f"{prefix}:{key}", before, ex=86400)
        assert moment.look()
        client.hincrby(f"{prefix}:offsets", "1", 1)
        with pytest.raises(AssertionError, match="counted, .* sent|sum -1"):
            moment.look()
        client.hincrby(f"{prefix}:offsets", "1", -1)
    settle(world)


def test_an_instance_that_ends_by_itself_is_found(world):
    """This includes an instance that is killed, but not by the harness."""
    slot = world.fleet.running()[0]
    slot.instance.kill()
    with pytest.raises(AssertionError, match="ended with status -9"):
        world.check()
    slot.instance = None
    world.fleet.start(slot)
    settle(world)


@pytest.mark.parametrize("which", ["output", "rejected"])
def test_wrong_outputs_are_found(world, which):
    """A reader of hand-written topics finds a duplicate, a missing and a changed record."""
    source, row_is_rejected = records.Records("by hand"), which == "rejected"
    numbers = [n for n in range(100)
               if (source.template(0, n).reason is not None) == row_is_rejected]
    one, two, three = numbers[:3]
    for rows, words in (([one, two, three], None),
                        ([one, two, two], "twice or late"), ([one, three], "missing or early"),
                        ([two, one], "missing or early"), ([one, -two], "changed")):
        topic = f"{which}-{rows}".replace(", ", "-").strip("[]").replace("[", "")
        other = topic + "-other"
        for each in (topic, other):
            world.cluster.create_topic(each, 1)
        _write(world, topic, source, rows, row_is_rejected)
        topics = (other, topic) if row_is_rejected else (topic, other)
        found = reader.Reader(world.cluster.address, "in", *topics, "by hand", 1)
        try:
            if words is None:
                wait.until(lambda: found.seen[row_is_rejected] == 3, 30, "all records to be read",
                           alive=found.worker.check)
                continue
            with pytest.raises(AssertionError, match=words):
                wait.until(lambda: False, 30, "the reader to fail", alive=found.worker.check)
        finally:
            found.worker.kill()


def _write(world, topic, source, rows, is_rejected):
    producer = Producer({"bootstrap.servers": world.cluster.address})
    for number in rows:
        record = _record(source, 0, abs(number))
        made = source.template(0, abs(number))
        key = records.tag_of(0, abs(number)) if made.out_key is records.TAG else made.out_key
        headers = list(record.headers or [])
        if is_rejected:
            errors = {"reason": made.reason, "detail": "x", "topic": "in", "partition": "0",
                      "offset": str(abs(number))}
            headers += [(f"__rollcall.errors.{name}", text) for name, text in errors.items()]
        value = record.value if number >= 0 else b"{}" + (record.value or b"")
        producer.produce(topic, value, key, 0, timestamp=record.timestamp_ms, headers=headers)
    assert producer.flush(30) == 0


def test_a_duplicate_behind_the_last_record_is_found(world):
    """This test must be the last in this file, because it ends the reader."""
    number = max(n for n in range(world.feeder.acknowledged[0])
                 if world.records.template(0, n).reason is None)
    record = _record(world.records, 0, number)
    producer = Producer({"bootstrap.servers": world.cluster.address})
    producer.produce(world.place.output, record.value, record.key, 0,
                     timestamp=record.timestamp_ms, headers=record.headers or [])
    assert producer.flush(30) == 0
    with pytest.raises(AssertionError, match="twice or late"):
        settle(world)

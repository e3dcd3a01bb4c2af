"""redis+cluster://: wherever the slot goes, every record is counted once."""

import time

import pytest

import redis_cluster
import wait
from test_refusals import refused
from test_sentinel import BUSY, RATE, Watch

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cluster(world, tmp_path):
    """The world with a cluster in place of its Redis."""
    world.redis_server.kill()
    made = redis_cluster.RedisCluster(str(tmp_path / "cluster"), world.prefix)
    world.redis_server = world.place.redis_server = made
    world.options["redis.url"] = made.url()
    world.options["redis.timeout_ms"] = 2000
    yield made


def _catch_up(instance, watch, seconds=20):
    """Waits until counting has caught up; returns how long that took."""
    since = time.monotonic()
    wait.until(lambda: watch.look() < RATE, seconds, "counting to catch up")
    return time.monotonic() - since


def test_the_slot_moves_there_and_back_under_load(world, cluster):
    """MOVED, ASK and TRYAGAIN; the script is unknown to each node at first."""
    load = world.make_load()
    home = cluster.master
    away = next(node for node in cluster.masters() if node is not home)
    with load.feed(RATE) as feed:
        instances = [world.run("first"), world.run("second")]
        world.wait_shared(*instances)
        world.wait_counted(2000)
        watch = Watch(instances[0])
        for turn in range(20):
            source, target = (home, away) if turn % 2 == 0 else (away, home)
            cluster.move_slot(source, target, watch.look)
            feed.wait_for_more(300)
            watch.look()
        assert watch.longest_s < 2 * BUSY, watch.longest_s
        _catch_up(instances[0], watch)
    log = instances[0].log() + instances[1].log()
    assert "another node of the cluster" in log
    world.verify(load, instances[0])


def _fail_over(cluster, watch, how):
    """Has a replica take over. Redis gives up a try after 5 s without saying so: it is told again."""
    old = cluster.master
    for last in (False, False, True):
        cluster.call(cluster.replicas()[0], "CLUSTER", "FAILOVER", *how)
        try:
            wait.until(lambda: watch.look() >= 0 and cluster.has_left(old), 8, "a failover")
            return
        except wait.TimedOut:
            if last:
                raise


@pytest.mark.parametrize("how", [[], ["FORCE"], ["TAKEOVER"]])
def test_a_replica_takes_over_by_command(world, cluster, how):
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(2000)
        for _ in range(2):
            watch = Watch(instance)
            _fail_over(cluster, watch, how)
            took_s = _catch_up(instance, watch)
            assert took_s < 5 * BUSY and watch.longest_s < 2 * BUSY
            feed.wait_for_more(500)
            cluster.wait_ok()
    world.verify(load, instance)


def test_the_owner_is_lost_and_returns(world, cluster):
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(2000)
        old = cluster.master
        old.kill()
        watch = Watch(instance)
        wait.until(lambda: watch.look() >= 0 and cluster.has_left(old), 30, "a failover")
        took_s = _catch_up(instance, watch)
        assert took_s < 5 * BUSY and watch.longest_s < 2 * BUSY
        feed.wait_for_more(500)
        old.start()
        cluster.wait_ok()
    world.verify(load, instance)


def test_all_nodes_are_restarted(world, cluster):
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(2000)
        for node in cluster.nodes:
            node.kill()
        feed.wait_for_more(1000)
        for node in cluster.nodes:
            node.start()
        cluster.wait_ok()
        feed.wait_for_more(500)
    world.verify(load, instance)


def test_a_node_at_a_plain_address(world, cluster):
    """At start the right form is shown; while running, the slot is followed."""
    load = world.make_load()
    load.produce(200)
    home = cluster.master
    away = next(node for node in cluster.masters() if node is not home)
    plain = f"redis://127.0.0.1:{home.port}/0"
    wrong = f"redis://127.0.0.1:{away.port}/0"
    refused(world.run(redis__url=wrong), "redis+cluster://")
    checked = world.execute("check", redis__url=wrong)
    assert checked.returncode == 1 and "redis+cluster://" in checked.stdout, checked.stdout
    assert "redis+cluster://" in world.execute("check", redis__url=plain).stdout
    assert f"slot {cluster.slot}" in world.execute("check").stdout
    instance = world.run(redis__url=plain)
    world.wait_counted(200)
    cluster.move_slot(home, away)
    load.produce(500)
    world.wait_counted(700)
    cluster.move_slot(away, home)
    load.produce(500)
    world.verify(load, instance)


def test_a_server_that_is_no_cluster(world):
    world.create_input()
    refused(world.run(redis__url=world.options["redis.url"].replace("redis://", "redis+cluster://")),
            "not a node of a cluster")

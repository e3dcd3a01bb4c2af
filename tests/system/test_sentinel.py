"""redis+sentinel://: whatever leads to another master, every record is counted once."""

import time

import pytest
import redis

import sentinels
import wait
from test_refusals import refused

RATE = 1500
#: So many times slower than promised may a busy machine be.
BUSY = 3 * wait.factor


@pytest.fixture
def watched(world, tmp_path):
    """The world with Sentinels in place of its Redis."""
    world.redis_server.kill()
    yield _move(world, sentinels.Sentinels(str(tmp_path / "watched")))
    world.redis_server.kill()


def _move(world, made):
    world.redis_server = world.place.redis_server = made
    world.options["redis.url"] = made.url()
    world.options["redis.timeout_ms"] = 2000
    return made


class Watch:
    """Measures, while a failover is under way, how long publishing stood still at most."""

    def __init__(self, instance):
        self._instance = instance
        self._last = None
        self._since = time.monotonic()
        self.longest_s = 0.0

    def look(self):
        """Takes a sample; returns the counted lag."""
        metrics = self._instance.metrics()
        published = sum(value for (name, _), value in metrics.items()
                        if name == "rollcall_records_published_total")
        now = time.monotonic()
        if published != self._last:
            self._last, self._since = published, now
        self.longest_s = max(self.longest_s, now - self._since)
        return sum(value for (name, _), value in metrics.items()
                   if name == "rollcall_counted_lag_records")


def _calls(server):
    """How many checkpoints a server has been sent."""
    with server.client() as client:
        return client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]


def _fail_over(watched, instance, cause):
    """Runs cause, waits for the promotion and until counting has caught up; checks the times."""
    old = watched.master
    watch = Watch(instance)
    cause(old)
    wait.until(lambda: watch.look() >= 0 and watched.master is not old, 30, "a promotion")
    promoted = time.monotonic()
    wait.until(lambda: watch.look() < RATE, 20, "counting to catch up")
    took_s = time.monotonic() - promoted
    assert took_s < 5 * BUSY, f"counted again only {took_s:.1f} s after the promotion"
    assert watch.longest_s < 2 * BUSY, f"publishing stood still for {watch.longest_s:.1f} s"
    print(f"counted {took_s:.1f} s after the promotion; publishing stood still at most for "
          f"{watch.longest_s:.1f} s")
    return old


@pytest.mark.timeout(240)
def test_the_master_is_killed_under_load_and_returns(world, watched):
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(3000)
        for _ in range(2):
            old = _fail_over(watched, instance, lambda master: master.kill())
            feed.wait_for_more(1000)
            old.start()
            watched.wait_complete()
            feed.wait_for_more(1000)
    world.verify(load, instance)
    assert instance.metric("rollcall_rewinds_total", cause="gap") == 0
    instance.stop()


@pytest.mark.timeout(240)
def test_replication_was_held_back_when_the_master_is_killed(world, watched):
    """The new master is several checkpoints behind: what it lacks is counted again."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(3000)
        old = watched.master
        behind = [server for server in watched.servers if server is not old]
        for replica in behind:
            replica.pause()
        with old.client() as client:  # what is on its way would arrive yet
            client.client_kill_filter(_type="replica")
        counted = world.counted_total()
        world.wait_counted(counted + 3000)
        old.kill()
        for replica in behind:
            replica.resume()
        watched.wait_promoted(old)
        feed.wait_for_more(1000)
        old.start()
    world.verify(load, instance)
    assert instance.metric("rollcall_rewinds_total", cause="rolled_back") > 0


@pytest.mark.timeout(240)
def test_the_master_falls_silent_and_wakes_up_as_a_master(world, watched):
    """It keeps its connections, and takes writes until the Sentinels have demoted it."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instances = [world.run("first"), world.run("second")]
        world.wait_shared(*instances)
        world.wait_counted(3000)
        old = watched.master
        old.pause()
        watched.wait_promoted(old)
        feed.wait_for_more(1000)
        old.resume()
        feed.wait_for_more(1000)
    world.verify(load, instances[0])


@pytest.mark.timeout(240)
def test_a_failover_by_command_leaves_the_old_master_alive(world, watched):
    """READONLY or +switch-master, whichever comes first; no connection breaks by itself."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(3000)
        _fail_over(watched, instance, lambda _: watched.sentinels[0].call(
            "SENTINEL", "FAILOVER", sentinels.NAME))
        feed.wait_for_more(1000)
    world.verify(load, instance)


@pytest.mark.timeout(240)
def test_a_lone_stale_sentinel_does_not_lead_back(world, watched):
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(2000)
        old = watched.master
        old.kill()
        new = watched.wait_promoted(old)
        feed.wait_for_more(1000)
        for sentinel in watched.sentinels:
            sentinel.kill()
        wait.until(lambda: _calls(new) > 0, 20, "the new master to be used")
        old.start()  # alone and a master, as a partition would have it
        with old.client() as client:
            client.replicaof("NO", "ONE")
        watched.sentinels[2].forget()
        watched.sentinels[2].start()
        assert watched.sentinels[2].master_port() == old.port
        with new.client() as client:  # its connections break: rollcall has to ask
            client.client_kill_filter(_type="normal", skipme=True)
        instance.wait_log("is not followed")
        before = _calls(new)
        feed.wait_for_more(1000)
        wait.until(lambda: _calls(new) > before + 10, 20, "the new master to be used again")
        assert _calls(old) == 0
    watched.sentinels[2].kill()
    for sentinel in watched.sentinels[:2]:
        sentinel.start()
    world.verify(load, instance)


@pytest.mark.timeout(240)
def test_a_new_master_that_may_evict_is_not_written_to(world, watched):
    """Counting waits and /readyz names the setting, publishing continues; then it is fixed."""
    load = world.make_load()
    for server in watched.servers[1:]:
        with server.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
    with load.feed(RATE) as feed:
        instance = world.run()
        world.wait_counted(2000)
        old = watched.master
        old.kill()
        new = watched.wait_promoted(old)
        wait.until(lambda: "maxmemory-policy" in instance.get("/readyz")[1], 20,
                   "/readyz to name the setting")
        assert instance.get("/readyz")[0] == 503 and _calls(new) == 0
        published = instance.metric("rollcall_records_published_total")
        wait.until(lambda: instance.metric("rollcall_records_published_total") > published + 1000,
                   20, "publishing to continue")
        feed.wait_for_more(500)
        assert _calls(new) == 0
        for server in watched.servers[1:]: # the Sentinels may go on to the third
            with server.client() as client:
                client.config_set("maxmemory-policy", "noeviction")
        instance.wait_ready()
    world.verify(load, instance)


@pytest.mark.timeout(240)
def test_a_new_master_without_the_user_is_waited_for(world, watched):
    """ACLs are not replicated."""
    load = world.make_load()
    login = ["ACL", "SETUSER", "counter", "on", ">pass-91", "~*", "&*", "+@all"]
    with watched.client() as client:
        client.execute_command(*login)
    world.options["redis.url"] = watched.url().replace("//", "//counter:pass-91@")
    with load.feed(RATE):
        instance = world.run()
        world.wait_counted(2000)
        old = watched.master
        old.kill()
        new = watched.wait_promoted(old)
        wait.until(lambda: "WRONGPASS" in instance.get("/readyz")[1], 20, "/readyz to say why")
        with new.client() as client:
            client.execute_command(*login)
        instance.wait_ready()
    world.verify(load, instance)


@pytest.mark.timeout(240)
def test_what_was_counted_does_not_step_back_with_replicas(world, watched):
    load = world.make_load()
    with load.feed(RATE) as feed:
        instance = world.run(redis__min_replicas=1)
        world.wait_counted(3000)
        old = watched.master
        replicas = [server for server in watched.servers if server is not old]
        for replica in replicas:
            replica.pause()
        instance.wait_log("redis.min_replicas")
        counted = instance.metric("rollcall_records_counted_total")
        published = instance.metric("rollcall_records_published_total")
        wait.until(lambda: instance.metric("rollcall_records_published_total") > published + 1000,
                   20, "publishing to continue")
        assert instance.metric("rollcall_records_counted_total") == counted
        for replica in replicas:
            replica.resume()
        wait.until(lambda: instance.metric("rollcall_records_counted_total") > counted, 20,
                   "counting to continue")
        feed.wait_for_more(500)
        old.kill()
        watched.wait_promoted(old)
        feed.wait_for_more(500)
    world.verify(load, instance)
    assert instance.metric("rollcall_rewinds_total", cause="rolled_back") == 0


def test_sentinels_and_redis_have_logins_of_their_own(world, tmp_path):
    world.redis_server.kill()
    watched = _move(world, sentinels.Sentinels(str(tmp_path / "watched"), password="redis-7",
                                               sentinel_password="sentinel-8"))
    load = world.make_load()
    load.produce(300)
    refused(world.run(), "redis.sentinel_password")
    refused(world.run(redis__sentinel_password="wrong"), "redis.sentinel_password")
    instance = world.run(redis__sentinel_password="sentinel-8")
    world.verify(load, instance)
    checked = world.execute("check", redis__sentinel_password="sentinel-8")
    assert checked.returncode == 0, checked.stdout
    assert "sentinel-8" not in checked.stdout + instance.log()
    refused(world.run(redis__url=watched.url().replace(sentinels.NAME, "other"),
                      redis__sentinel_password="sentinel-8"), "other", "SENTINEL MASTERS")


def test_check_shows_the_sentinels_and_recognises_one(world, watched):
    world.create_input()
    checked = world.execute("check")
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("names 127.0.0.1:%d" % watched.master.port) == 3
    assert "quorum: OK 3 usable" in checked.stdout and "lag=" in checked.stdout
    form = f"redis+sentinel://127.0.0.1:{watched.sentinels[0].port}/{sentinels.NAME}"
    plain = f"redis://127.0.0.1:{watched.sentinels[0].port}/0"
    checked = world.execute("check", redis__url=plain)
    assert checked.returncode == 1 and form in checked.stdout, checked.stdout
    refused(world.run(redis__url=plain), form)
    watched.sentinels[2].kill()
    checked = world.execute("check")
    assert checked.returncode == 1 and "names nobody" in checked.stdout, checked.stdout


def test_without_a_master_the_start_ends_in_time(world, watched):
    world.create_input()
    for server in watched.servers:
        server.kill()
    refused(world.run(redis__timeout_ms=1000), "cannot be reached")
    with pytest.raises(redis.exceptions.RedisError):
        watched.client().ping()

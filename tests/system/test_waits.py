"""What rollcall waits for is named in time with its fix, and waiting is not taken for being
stuck."""

import http.server
import re
import signal
import threading
import time

import pytest

import process
import rollcall
import wait


def wait_not_ready(instance, *words, seconds=30):
    """Waits until /readyz answers 503 with all these words."""
    def is_named():
        status, body = instance.get("/readyz")
        return status == 503 and all(word in body for word in words)

    wait.until(is_named, seconds, lambda: f"/readyz to name {words}: {instance.get('/readyz')}",
               alive=instance.check_alive)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("which", ["output", "rejected"])
def test_an_output_topic_that_is_deleted(world, which):
    """Publishing is tried less and less often; once the topic is there again, all is published, in
    the partitions where it belongs: a topic that is missing is not one of 0 partitions."""
    topic = getattr(world, which)
    load = world.make_load()
    instance = world.run(producer__topic__metadata__propagation__max__ms=500,
                         producer__topic__metadata__refresh__interval__ms=500).wait_ready()
    instance.wait_assigned(4)
    world.broker.delete_topic(topic)
    load.produce(2000)
    wait_not_ready(instance, "publishing fails", topic, "create the topic", seconds=60)
    instance.wait_log("Publishing fails each time it is tried")
    assert instance.metric("rollcall_transactions_aborted_total") < 20
    assert instance.get("/healthz")[0] == 200
    world.broker.create_topic(topic, 4)
    world.verify(load, instance)
    assert "differ in partitions" not in instance.log()
    instance.wait_ready()
    instance.stop()


@pytest.mark.timeout(180)
def test_a_redis_that_hangs(world):
    """Its calls have a long deadline: the instance waits, is not stuck, and says for whom."""
    load = world.make_load()
    instance = world.run(redis__timeout_ms=120000).wait_ready()
    instance.wait_assigned(4)
    world.redis_server.pause()
    load.produce(500)
    wait_not_ready(instance, "Redis has not answered for", seconds=20)
    deadline = time.monotonic() + 70
    while time.monotonic() < deadline:
        status, body = instance.get("/healthz")
        assert status == 200, body
        time.sleep(1)
    world.redis_server.resume()
    world.verify(load, instance)
    instance.wait_ready()
    instance.stop()


@pytest.mark.parametrize("cause", ["a right", "the user"])
def test_a_stop_while_redis_denies_the_user(world, cause):
    """What is not counted is told, and is no success: only somebody can set it right."""
    load = world.make_load()
    with world.redis_server.client() as client:
        user = ["ACL", "SETUSER", "counter", "on", ">pass-91", f"~{world.prefix}:*", "+@all"]
        client.execute_command(*user)
        world.options["redis.url"] = f"redis://counter:pass-91@127.0.0.1:{world.redis_server.port}/0"
        instance = world.run().wait_ready()
        client.execute_command(*(["ACL", "SETUSER", "counter", "-expire"] if cause == "a right"
                                 else ["ACL", "DELUSER", "counter"]))
        load.produce(500)
        why = "+expire" if cause == "a right" else "WRONGPASS"
        instance.wait_log(why)
        instance.signal(signal.SIGTERM)
        assert instance.wait_exit() == 1
        assert "Ended before all was counted" in instance.log()
        assert why in instance.log().splitlines()[-1] and "pass-91" not in instance.log()
        client.execute_command(*user, "+expire")
    world.verify(load, world.run())


@pytest.mark.skipif("not rollcall.has_consumer_protocol()", reason=rollcall.NO_CONSUMER_PROTOCOL)
def test_a_member_without_a_partition_is_ready(world):
    """In the consumer protocol, as in the other one: a rollout with more replicas than partitions
    ends."""
    world.create_input(1)
    first = world.run("first", **rollcall.CONSUMER_PROTOCOL).wait_ready()
    first.wait_assigned(1)
    second = world.run("second", **rollcall.CONSUMER_PROTOCOL).wait_ready()
    first.wait_assigned(1)
    assert second.metric("rollcall_assigned_partitions") == 0
    first.stop()
    second.wait_assigned(1)
    second.stop()


@pytest.mark.skipif("not rollcall.has_consumer_protocol()", reason=rollcall.NO_CONSUMER_PROTOCOL)
@pytest.mark.timeout(120)
def test_one_of_two_instances_with_the_same_id_exits(world):
    """In the consumer protocol the group lets both in; they take the transactional id in turns."""
    load = world.make_load()
    twins = [world.run(name, instance__id="twin", **rollcall.CONSUMER_PROTOCOL) for name in ("one", "two")]
    with load.feed(500):
        wait.until(lambda: not all(twin.is_running() for twin in twins), 60, "one to exit")
    gone, left = sorted(twins, key=lambda twin: twin.is_running())
    assert gone.wait_exit() == 1
    assert "instance.id" in gone.log().splitlines()[-1]
    world.verify(load, left)
    left.stop()


def test_a_redis_password_that_changes(world):
    """It is a matter of settings, not of reach: named with its fix, and publishing goes on."""
    load = world.make_load()
    instance = world.run().wait_ready()
    instance.wait_assigned(4)
    client = world.redis_server.client()
    client.config_set("requirepass", "changed")
    client.client_kill_filter(_type="normal", skipme=True)
    load.produce(500)
    wait_not_ready(instance, "NOAUTH", "set user and password in redis.url", seconds=10)
    instance.wait_log("set user and password in redis.url", seconds=10)
    client.config_set("requirepass", "")
    world.verify(load, instance)
    instance.wait_ready()
    instance.stop()


def test_oauthbearer_without_a_way_to_get_a_token(world):
    done = world.execute("run", kafka__security__protocol="SASL_PLAINTEXT",
                         kafka__sasl__mechanism="OAUTHBEARER")
    assert done.returncode == 2
    assert "sasl.oauthbearer.method=oidc" in done.stderr, done.stderr


def test_a_token_that_cannot_be_made(world):
    done = world.execute("run", kafka__security__protocol="SASL_PLAINTEXT",
                         kafka__sasl__mechanism="OAUTHBEARER",
                         kafka__enable__sasl__oauthbearer__unsecure__jwt="true")
    assert done.returncode == 2
    assert "sasl.oauthbearer.config" in done.stderr, done.stderr


class Denies(http.server.BaseHTTPRequestHandler):
    """A token endpoint that does not know the client."""

    def do_POST(self):
        body = b'{"error":"invalid_client"}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("fault, words", [
    ("unreachable", ("can be reached from here",)),
    ("unknown client", ("invalid_client", "sasl.oauthbearer.client.id",
                        "sasl.oauthbearer.client.secret", "sasl.oauthbearer.scope"))])
def test_a_token_that_is_not_given(world, fault, words):
    """Named by check at once, by run in the log and in /readyz."""
    world.create_input()
    with http.server.HTTPServer(("127.0.0.1", 0), Denies) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_port if fault == "unknown client" else process.free_port()
        url = f"http://127.0.0.1:{port}/token"
        options = {"kafka__security__protocol": "SASL_PLAINTEXT",
                   "kafka__sasl__mechanism": "OAUTHBEARER",
                   "kafka__sasl__oauthbearer__method": "oidc",
                   "kafka__sasl__oauthbearer__client__id": "rollcall",
                   "kafka__sasl__oauthbearer__client__secret": "client-secret-74",
                   "kafka__sasl__oauthbearer__token__endpoint__url": url}
        words = ("no OAUTHBEARER token from", url, *words)
        began = time.monotonic()
        done = world.execute("check", **options)
        assert time.monotonic() - began < 6
        bad = [line for line in done.stdout.splitlines() if line.startswith("bad Kafka")]
        assert len(bad) == 1 and all(word in bad[0] for word in words), done.stdout
        instance = world.run(**options)
        wait_not_ready(instance, *words, seconds=10)
        instance.wait_log("Kafka does not let this client in", seconds=1)
        assert "client-secret-74" not in done.stdout + done.stderr + instance.log()
        instance.stop()
        server.shutdown()


@pytest.mark.timeout(120)
def test_idle_partitions_are_verified_together(world):
    """A dozen partitions without records cost Redis little more than one, and a loss is noticed."""
    load = world.make_load(12)
    load.produce(600)
    instance = world.run().wait_ready()
    instance.wait_assigned(12)
    world.wait_quiet()
    with world.redis_server.client() as client:
        with client.monitor() as monitor:
            deadline = time.monotonic() + 60 * wait.factor
            together = 0
            while together < 11:
                assert time.monotonic() < deadline, f"{together + 1} at once"
                command = monitor.next_command()["command"]
                if command.startswith("EVALSHA"):
                    together = max(together, len(re.findall(r" \d+ \d+ \d+:", command)))
        client.flushall()
    world.verify(load, instance)


@pytest.mark.timeout(120)
def test_a_fetch_that_waits_long_is_no_standstill(world):
    """A broker lets all requests of a connection wait behind a fetch: rollcall's questions have a
    connection of their own."""
    load = world.make_load()
    load.produce(200)
    instance = world.run(consumer__fetch__wait__max__ms=10000).wait_ready()
    world.wait_counted(200)
    until = time.monotonic() + 45
    while time.monotonic() < until:
        assert instance.metric("rollcall_dependency_up", target="kafka") == 1, instance.log()
        time.sleep(1)
    log = instance.log()
    assert "makes no progress" not in log and "REQTMOUT" not in log, log

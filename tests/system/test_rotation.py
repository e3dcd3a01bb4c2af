"""Passwords and certificates change while rollcall runs under load, and the old ones are withdrawn.

No process restarts, and in the end everything is counted and published exactly once.
"""

import shutil
import threading
import time

import pytest

import process
import sentinels
import wait
from test_kafka_security import (LOGIN_LINES, LOGIN_WORDS, PASSWORD, TLS_LINES, TOKEN_SCOPE, USER,
                                 Certificates, UsersKafka, login)
from test_redis_tls import skip_without_tls
from test_reload import Configured

NEW_PASSWORD = "scram-secret-81"
#: How soon the broker asks a connection to log in again.
REAUTH_MS = 2000


class RotatingKafka(UsersKafka):
    """A broker with two secured listeners: one wants a password, and asks for it again and again;
    the other wants a client's certificate. At its next start it has the
    certificate broker.pem, and trusts the authorities in trusted.crt."""

    def __init__(self, folder, certificates):
        self.ports = {name: process.free_port() for name in ("scram", "mtls")}
        super().__init__(
            folder, listeners={"SCRAM": (self.ports["scram"], "SASL_PLAINTEXT"),
                               "MTLS": (self.ports["mtls"], "SSL")},
            extra=LOGIN_LINES.format(name="scram", user=USER, password=PASSWORD,
                                     scope=TOKEN_SCOPE)
            + f"listener.name.scram.connections.max.reauth.ms={REAUTH_MS}\n"
            + TLS_LINES.format(name="mtls", folder=certificates.folder, trusted="trusted.crt",
                               certificate="broker", clients="required"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Those of two authorities, "ours" and "another", for the broker and for its clients."""
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.sign("next_good", "IP:127.0.0.1", by="another")
    made.sign("next_client", "DNS:client.example", by="another")
    made.put("broker.pem", "good.pem")
    made.put("trusted.crt", "ours.crt")
    return made


@pytest.fixture(scope="module")
def broker(certificates, tmp_path_factory):
    """A broker with both listeners."""
    server = RotatingKafka(str(tmp_path_factory.mktemp("kafka")), certificates)
    server.start()
    yield server
    server.kill()


def start(world, tmp_path, name, **options):
    """Starts an instance with a file of its own."""
    return Configured(world, tmp_path / f"{name}.ini", **options)


def wait_through(world, load):
    """Waits until all that is in the input by now is counted and published."""
    reached = len(load.records)
    wait.until(lambda: min(world.counted_total(),
                           sum(world.broker.committed(world.group, world.topic).values()))
               >= reached, 60, lambda: f"{reached} records to get through", alive=world.alive)


class Flow:
    """Measures how long publishing, and counting, stood still at most while a block runs."""

    def __init__(self, world, what):
        self._world, self._what = world, what
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._looks = {"publishing": self._published, "counting": world.counted_total}
        self.longest_s = dict.fromkeys(self._looks, 0.0)

    def _published(self):
        return sum(self._world.broker.stable_offsets(self._world.output).values())

    def _run(self):
        last = {name: (look(), time.monotonic()) for name, look in self._looks.items()}
        while not self._is_over.wait(0.05):
            for name, look in self._looks.items():
                found, now = look(), time.monotonic()
                value, since = last[name]
                self.longest_s[name] = max(self.longest_s[name], now - since)
                if found != value:
                    last[name] = found, now

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        print(f"{self._what}: " + ", ".join(f"{name} stood still for {seconds:.1f} s at most"
                                            for name, seconds in self.longest_s.items()))


def test_the_password_of_kafka_changes_under_load(world, tmp_path):
    """The broker forgets the old password at once, and asks each connection for the new one."""
    load = world.make_load()
    world.broker.set_password("SCRAM-SHA-512", PASSWORD)
    options = {"kafka.bootstrap.servers": f"127.0.0.1:{world.broker.ports['scram']}",
               "kafka.security.protocol": "SASL_PLAINTEXT", "kafka.reconnect.backoff.max.ms": 500,
               **login("SCRAM-SHA-512")}
    instance = start(world, tmp_path, "scram", **options).wait_ready()
    with load.feed(1000) as feed:
        feed.wait_for_more(2 * REAUTH_MS)
        wait_through(world, load)
        with Flow(world, "a password of Kafka"):
            world.broker.set_password("SCRAM-SHA-512", NEW_PASSWORD)
            changed = instance.reload(kafka__sasl__password=NEW_PASSWORD)
            assert "changed=kafka.sasl.password" in changed
            feed.wait_for_more(3 * REAUTH_MS)
        wait_through(world, load)
    world.verify(load, instance)
    done = world.execute("check", **{name.replace(".", "__"): value
                                     for name, value in options.items()})
    assert done.returncode == 1 and all(word in done.stdout for word in LOGIN_WORDS), done.stdout
    assert PASSWORD not in instance.log() and NEW_PASSWORD not in instance.log()
    instance.stop()


@pytest.fixture
def files(certificates, tmp_path):
    """Puts certificates where the instances look for them; those of the beginning are there."""
    def put(client, *authorities):
        for suffix in ("crt", "key"):
            shutil.copy(certificates.path(f"{client}.{suffix}"), tmp_path / f"client.{suffix}")
        certificates.put("authorities.crt", *authorities)
        shutil.copy(certificates.path("authorities.crt"), tmp_path / "ca.crt")

    put("client", "ours.crt")
    return put


def secured(world, tmp_path):
    """Settings for the listener that wants a certificate."""
    return {"kafka.bootstrap.servers": f"127.0.0.1:{world.broker.ports['mtls']}",
            "kafka.security.protocol": "SSL", "kafka.reconnect.backoff.max.ms": 500,
            "kafka.ssl.ca.location": tmp_path / "ca.crt",
            "kafka.ssl.certificate.location": tmp_path / "client.crt",
            "kafka.ssl.key.location": tmp_path / "client.key"}


def test_certificates_of_kafka_change_under_load(world, tmp_path, certificates, files):
    """In the order of docs/operation.md, for the clients' certificates and the broker's own, from
    one authority to another."""
    load = world.make_load()
    certificates.put("trusted.crt", "ours.crt", "another.crt")
    certificates.put("broker.pem", "good.pem")
    world.broker.stop()
    world.broker.start()
    instances = [start(world, tmp_path, "static", **secured(world, tmp_path),
                       **{"instance.id": "static"}),
                 start(world, tmp_path, "other", **secured(world, tmp_path))]
    world.wait_shared(*instances)
    with load.feed(1000) as feed:
        feed.wait_for_more(2000)
        with Flow(world, "certificates of Kafka"):
            files("next_client", "ours.crt", "another.crt")
            for instance in instances:
                assert 'changed="the certificates of Kafka"' in instance.reload()
            for instance in instances:
                instance.wait_log("Joining the group with the new certificates")
            world.wait_shared(*instances)
            feed.wait_for_more(2000)
        wait_through(world, load)
        certificates.put("trusted.crt", "another.crt")
        certificates.put("broker.pem", "next_good.pem")
        world.broker.stop()
        world.broker.start()
        wait_through(world, load)
        files("next_client", "another.crt")
        for instance in instances:
            assert 'changed="the certificates of Kafka"' in instance.reload()
        feed.wait_for_more(4000)
        wait_through(world, load)
    world.verify(load, instances[0])
    for instance in instances:
        assert instance.log().count("Joining the group with the new") == 2, instance.log()
        assert "nothing is new" in instance.reload()
        instance.stop()


def test_certificates_that_brokers_do_not_take_wait(world, tmp_path, certificates, files):
    """The clients keep those that they have, until others are let in."""
    load = world.make_load()
    certificates.put("trusted.crt", "ours.crt")
    certificates.put("broker.pem", "good.pem")
    world.broker.stop()
    world.broker.start()
    # A producer that fails meanwhile would be replaced by one with the new certificates.
    instance = start(world, tmp_path, "waits", **secured(world, tmp_path),
                     **{"producer.transaction.timeout.ms": 60000}).wait_ready()
    with load.feed(500) as feed:
        files("next_client", "ours.crt")
        assert 'changed="the certificates of Kafka"' in instance.reload()
        instance.wait_log("do not let a client in with the new certificates")
        feed.wait_for_more(1000)
        wait_through(world, load)
        assert "Joining the group with the new" not in instance.log()
        certificates.put("trusted.crt", "ours.crt", "another.crt")
        world.broker.stop()
        world.broker.start()
        instance.wait_log("Joining the group with the new certificates")
        wait_through(world, load)
    world.verify(load, instance)
    instance.stop()


def serve_tls(server, certificates):
    """Has a Redis serve TLS alone besides the plain port of the checks; returns the port."""
    port = process.free_port()
    server.extra = ["--tls-port", str(port), "--tls-auth-clients", "yes",
                    "--tls-ca-cert-file", certificates.path("redis_trusted.crt"),
                    "--tls-cert-file", certificates.path("good.crt"),
                    "--tls-key-file", certificates.path("good.key")]
    server.stop()
    server.start()
    return port


def used_connections(world):
    """The ids of the connections over which scripts were called within the last second or two."""
    with world.redis_server.client() as client:
        return {int(found["id"]) for found in client.client_list()
                if found["cmd"].startswith("eval") and int(found["idle"]) <= 1}


def test_certificates_of_redis_change_under_load(world, tmp_path, certificates, files):
    """Both ends get theirs from another authority; each connection is replaced before that."""
    skip_without_tls()
    load = world.make_load()
    certificates.put("redis_trusted.crt", "ours.crt", "another.crt")
    port = serve_tls(world.redis_server, certificates)
    instance = start(world, tmp_path, "tls", **{
        "redis.url": f"rediss://127.0.0.1:{port}/0", "redis.ca_file": tmp_path / "ca.crt",
        "redis.cert_file": tmp_path / "client.crt", "redis.key_file": tmp_path / "client.key"})
    instance.wait_ready()
    with load.feed(1000) as feed:
        feed.wait_for_more(1000)
        wait_through(world, load)
        before = used_connections(world)
        assert before
        with Flow(world, "certificates of Redis"):
            files("next_client", "ours.crt", "another.crt")
            assert 'changed="the certificates of Redis"' in instance.reload()
            wait.until(lambda: used_connections(world) and not used_connections(world) & before, 30,
                       "the connections to be replaced", alive=world.alive)
            feed.wait_for_more(2000)
        wait_through(world, load)
        assert "level=warn msg=\"Waiting for Redis" not in instance.log()
        with world.redis_server.client() as client:
            client.config_set("tls-ca-cert-file", certificates.path("another.crt"))
            client.execute_command("CONFIG", "SET", "tls-cert-file",
                                   certificates.path("next_good.crt"), "tls-key-file",
                                   certificates.path("next_good.key"))
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        feed.wait_for_more(2000)
        wait_through(world, load)
    world.verify(load, instance)
    assert "nothing is new" in instance.reload()
    instance.stop()


def test_a_certificate_that_redis_does_not_take_waits(world, tmp_path, certificates, files):
    """The open connections stay."""
    skip_without_tls()
    load = world.make_load()
    certificates.put("redis_trusted.crt", "ours.crt")
    port = serve_tls(world.redis_server, certificates)
    instance = start(world, tmp_path, "tls", **{
        "redis.url": f"rediss://127.0.0.1:{port}/0", "redis.ca_file": tmp_path / "ca.crt",
        "redis.cert_file": tmp_path / "client.crt", "redis.key_file": tmp_path / "client.key"})
    instance.wait_ready()
    files("next_client", "ours.crt")
    instance.reload()
    load.produce(500)
    wait_through(world, load)
    instance.wait_log("No new connection to Redis after the reload: the one before it is kept")
    files("client", "ours.crt")
    assert 'changed="the certificates of Redis"' in instance.reload()
    load.produce(500)
    world.verify(load, instance)
    instance.stop()


def test_the_password_of_sentinels_changes_under_load(world, tmp_path):
    """It is in a file, which is read at each new connection, without a reload."""
    load = world.make_load()
    world.redis_server.kill()
    watched = world.redis_server = world.place.redis_server = \
        sentinels.Sentinels(str(tmp_path / "watched"))
    secret = tmp_path / "sentinel-password"

    def set_password(password):
        secret.write_text(f"{password}\n")
        for sentinel in watched.sentinels:
            sentinel.call("ACL", "SETUSER", "watcher", "reset", "on", f">{password}", "allchannels",
                          "+sentinel", "+subscribe", "+ping")

    set_password("sentinel-secret-1")
    instance = start(world, tmp_path, "sentinel", **{
        "redis.url": watched.url(), "redis.timeout_ms": 2000, "redis.sentinel_user": "watcher",
        "redis.sentinel_password_file": secret}).wait_ready()
    with load.feed(500) as feed:
        feed.wait_for_more(500)
        set_password("sentinel-secret-2")
        for sentinel in watched.sentinels:
            sentinel.call("CLIENT", "KILL", "USER", "watcher")
        feed.wait_for_more(500)
        old = watched.master
        old.kill()
        watched.wait_promoted(old)
        feed.wait_for_more(500)
    world.verify(load, instance)
    assert "sentinel-secret" not in instance.log()
    secret.write_text("sentinel-secret-3\n")
    assert "changed=redis.sentinel_password" in instance.reload()
    wait.until(lambda: not any(b"user=watcher" in sentinel.call("CLIENT", "LIST")
                               for sentinel in watched.sentinels), 20,
               "the connections of before to be closed")
    instance.stop()

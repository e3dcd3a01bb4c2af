"""Managed services, imitated by a Redis that is configured like one."""

import contextlib
import json
import socket
import threading

import pytest

from test_refusals import refused


def _restart(world, *extra):
    server = world.redis_server
    server.stop()
    server.extra = list(extra)
    server.start()


def _produce_distinct(world, count):
    """Sends records whose values are all different, and as long as values may be."""
    load = world.make_load()
    for i in range(count):
        value = json.dumps({"user_id": "u", "timestamp": 1720622216, "device_type": f"{i:0128}",
                            "locale": f"{i:0128}"})
        load.send(i % 4, b"k", value.encode(), 1720622216000)
    load.flush()


class Limiter:
    """Passes commands on to a Redis, and ends a connection over one that is too large."""

    def __init__(self, port, limit):
        self.largest = 0
        self._target, self._limit = port, limit
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client = self._listener.accept()[0]
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pass_replies, args=(server, client), daemon=True).start()
            threading.Thread(target=self._pass_commands, args=(client, server), daemon=True).start()

    @staticmethod
    def _pass_replies(server, client):
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _pass_commands(self, client, server):
        with contextlib.suppress(OSError, ValueError), client.makefile("rb") as commands, server:
            while head := commands.readline():
                words = [head]
                for _ in range(int(head[1:])):
                    size = commands.readline()
                    words += [size, commands.read(int(size[1:]) + 2)]
                command = b"".join(words)
                self.largest = max(self.largest, len(command))
                if len(command) > self._limit:
                    break
                server.sendall(command)
            server.shutdown(socket.SHUT_RDWR)


def test_requests_limited_to_1_mb(world):
    """A service that ends the connection of a client whose command is larger."""
    limiter = Limiter(world.redis_server.port, 1 << 20)
    count = 40000
    world.create_input()
    _produce_distinct(world, count)
    world.run(aggregate__max_values=1000, redis__url=f"redis://127.0.0.1:{limiter.port}/0")
    world.wait_quiet()
    assert limiter.largest > 1 << 18, "the load is too small to show anything"
    with world.redis_server.client() as client:
        for name in ("device_type", "locale"):
            found = client.zrange(f"{world.prefix}:{name}_counts", 0, -1, withscores=True)
            assert sum(score for _, score in found) == count
    assert "not stored" not in world.instances[0].log()


def test_commands_that_are_not_there(world):
    """CONFIG, INFO, ACL, CLIENT and SELECT: the policy cannot be read, which is a warning."""
    _restart(world, *(word for name in ("CONFIG", "INFO", "ACL", "CLIENT", "SELECT")
                      for word in ("--rename-command", name, "")))
    load = world.make_load()
    load.produce(300)
    instance = world.run()
    world.verify(load, instance)
    assert "maxmemory-policy" in instance.log()
    checked = world.execute("check")
    assert checked.returncode == 0 and "maxmemory-policy" in checked.stdout, checked.stdout


@pytest.mark.parametrize("arguments, said", [
    (["--appendonly", "yes"], "appendonly yes, appendfsync everysec, save never: if its machine"),
    (["--save", "60", "1"], "appendonly no, save 60 1: a crash loses what was counted since"),
    (["--appendonly", "yes", "--rename-command", "CONFIG", ""],
     "appendonly yes, appendfsync not known, save not known: if its machine crashes"),
], ids=["aof", "rdb", "without-config"])
def test_check_says_what_a_crash_can_lose(world, arguments, said):
    _restart(world, *arguments)
    world.create_input()
    checked = world.execute("check")
    assert checked.returncode == 0 and f"ok  {said}" in checked.stdout, checked.stdout


@pytest.mark.parametrize("policy", ["volatile-lru", "allkeys-lfu"])
def test_a_policy_that_evicts_is_rejected_with_a_fix_without_config(world, policy):
    _restart(world, "--maxmemory-policy", policy)
    world.create_input()
    refused(world.run(), "maxmemory-policy", policy, "noeviction", "managed service")

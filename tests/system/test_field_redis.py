"""Redis in the field: full, busy, with missing rights, as a cluster. Invalid replies are tested in
tests/unit/edge/test_redis_store.c."""

import pathlib
import re
import threading

import pytest
import redis

import process
import wait
from test_refusals import refused


def _documented_rights():
    """The rights that docs/redis.md lists for the user, without the key patterns."""
    page = pathlib.Path(__file__).parents[2] / "docs" / "redis.md"
    command = re.search(r"ACL SETUSER rollcall on(.*?)\n\n", page.read_text(), re.DOTALL)
    return [word for word in command[1].replace("'", " ").split() if word.startswith("+")]


RIGHTS = _documented_rights()


def _grant(world, *rights):
    with world.redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "counter", "on", ">pass-91", "resetkeys", "-@all",
                               *rights)
    world.options["redis.url"] = f"redis://counter:pass-91@127.0.0.1:{world.redis_server.port}/0"


def _counted(world):
    """Returns a load and an instance that has counted all of it so far."""
    load = world.make_load()
    load.produce(200)
    instance = world.run()
    world.wait_quiet()
    return load, instance


def test_the_documented_rights_are_enough(world):
    load = world.make_load()
    load.produce(300)
    _grant(world, f"~{world.prefix}:*", *RIGHTS)
    instance = world.run()
    world.verify(load, instance)
    assert world.execute("check").returncode == 0
    assert world.execute("snapshot").returncode == 0


@pytest.mark.parametrize("lacking", ["evalsha", "zincrby", "zrem", "keys"])
def test_a_missing_right_is_named_before_anything_is_counted(world, lacking):
    world.create_input()
    key = "other" if lacking == "keys" else world.prefix
    _grant(world, f"~{key}:*", *(right for right in RIGHTS if right != f"+{lacking}"))
    wanted = f"~{world.prefix}:*" if lacking == "keys" else f"+{lacking}"
    refused(world.run(), "ACL SETUSER", wanted)
    checked = world.execute("check")
    assert checked.returncode == 1 and wanted in checked.stdout, checked.stdout


def test_a_right_taken_while_running_is_waited_for(world):
    """A checkpoint that cannot make all of its writes makes none of them."""
    _grant(world, f"~{world.prefix}:*", *RIGHTS)
    load, instance = _counted(world)
    _grant(world, f"~{world.prefix}:*", *(right for right in RIGHTS if right != "+zincrby"))
    load.produce(500)
    instance.wait_log("+zincrby")
    _grant(world, f"~{world.prefix}:*", *RIGHTS)
    world.verify(load, instance)


def test_the_scripts_text_is_sent_once(world):
    """Later calls refer to the script by its SHA-1."""
    with world.redis_server.client() as client:
        client.script_flush()
        client.config_resetstat()
        _counted(world)
        assert client.info("errorstats")["errorstat_NOSCRIPT"]["count"] == 1


def test_redis_that_is_full_is_waited_for(world):
    load, instance = _counted(world)
    with world.redis_server.client() as client:
        client.config_set("maxmemory", 1)
        load.produce(500)
        instance.wait_log("CONFIG SET maxmemory")
        client.config_set("maxmemory", 0)
    world.verify(load, instance)


def test_redis_that_is_blocked_by_another_script_is_waited_for(world):
    load, instance = _counted(world)
    with world.redis_server.client() as client, world.redis_server.client() as other:
        client.config_set("lua-time-limit", 50)

        def hold_up():
            with pytest.raises(redis.exceptions.RedisError):
                other.eval("while true do end", 0)

        holder = threading.Thread(target=hold_up)
        holder.start()
        load.produce(500)
        instance.wait_log("script holds it up")
        client.script_kill()
        holder.join(10)
    world.verify(load, instance)


def test_redis_that_loses_a_part_of_its_keys_while_running(world):
    _, instance = _counted(world)
    with world.redis_server.client() as client:
        client.delete(f"{world.prefix}:offsets")
    refused(instance, f"{world.prefix}:offsets", "delete all keys")


@pytest.mark.parametrize("running", [True, False])
def test_an_invalid_offset_is_rejected(world, running):
    """Otherwise a text without leading digits would be read as 0, and all be counted twice."""
    _, instance = _counted(world)
    if not running:
        instance.stop()
    with world.redis_server.client() as client:
        client.hset(f"{world.prefix}:offsets", mapping={p: "soon" for p in range(4)})
    refused(instance if running else world.run(), f"{world.prefix}:offsets", "soon")


def test_a_key_that_changes_its_type_while_running(world):
    _, instance = _counted(world)
    with world.redis_server.client() as client:
        client.delete(f"{world.prefix}:locale_counts")
        client.set(f"{world.prefix}:locale_counts", "a string")
    refused(instance, f"{world.prefix}:locale_counts", "string")


def _make_cluster(world):
    server = world.redis_server
    server.kill()
    server.extra = ["--cluster-enabled", "yes", "--cluster-port", str(process.free_port())]
    server.start()
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait.until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"), 20,
                   "a cluster of one node")


def test_a_cluster_node_needs_braces_in_the_prefix(world):
    load = world.make_load()
    load.produce(300)
    _make_cluster(world)
    refused(world.run(redis__prefix="no-braces"), "CROSSSLOT", "braces", "redis.prefix")
    instance = world.run()
    world.verify(load, instance)


def test_a_user_without_a_password_is_not_the_default_user(world):
    with world.redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "counter", "on", "nopass", "~*", "&*", "+@all")
    world.options["redis.url"] = f"redis://counter@127.0.0.1:{world.redis_server.port}/0"
    _, instance = _counted(world)
    with world.redis_server.client() as client:
        users = {found["user"] for found in client.client_list() if found["cmd"] != "client|list"}
    assert "counter" in users
    instance.stop()

"""Faults of Redis, and of the network between it and rollcall."""

import threading

import redis

import checks
import process
import wait
from fault import FLEET, NET_REDIS, REDIS, fault


@fault(2, REDIS, down_s=(0.0, 5.0))
def redis_kill(chaos, down_s):
    """SIGKILL; Redis restarts with its append-only file."""
    chaos.redis.master.kill()
    chaos.hold(down_s)
    chaos.redis.master.start()


@fault(1, REDIS, down_s=(0.0, 3.0))
def redis_empty(chaos, down_s):
    """SIGKILL; Redis restarts empty."""
    chaos.redis.master.kill()
    chaos.hold(down_s)
    chaos.redis.master.start_from(None)


@fault(3, REDIS, down_s=(0.0, 3.0), which=(0, 99))
def redis_restore(chaos, down_s, which):
    """SIGKILL; Redis restarts from an older RDB."""
    backups = chaos.redis.backups
    chaos.redis.master.kill()
    chaos.hold(down_s)
    chaos.redis.master.start_from(backups[which % len(backups)] if backups else None)


@fault(3, REDIS, down_s=(0.0, 3.0), share=(0.01, 0.9))
def redis_cut_file(chaos, down_s, share):
    """SIGKILL; the append-only file is truncated, possibly in the middle of a command."""
    chaos.redis.master.kill()
    lost = chaos.redis.master.cut_append_only_file(share)
    chaos.say(f"redis_cut_file: {lost} bytes cut off")
    chaos.hold(down_s)
    chaos.redis.master.start()


@fault(3, REDIS, lag_s=(0.0, 6.0), down_s=(0.0, 3.0))
def redis_fail_over(chaos, lag_s, down_s):
    """The master is killed; the replica, which is lag_s behind, takes over."""
    if lag_s > 0.5:
        chaos.redis.detach()
        chaos.hold(lag_s)
    chaos.redis.fail_over()
    chaos.hold(down_s)
    chaos.redis.revive()


@fault(1, REDIS)
def redis_flushall(chaos):
    """All data is deleted with FLUSHALL."""
    with chaos.redis.client() as client:
        client.flushall()


@fault(1, REDIS)
def redis_script_flush(chaos):
    """SCRIPT FLUSH makes Redis forget all cached scripts."""
    with chaos.redis.client() as client:
        client.script_flush()


@fault(1, REDIS, times=(1, 10), gap_s=(0.0, 0.3))
def redis_client_kill(chaos, times, gap_s):
    """CLIENT KILL closes every connection, several times in a row."""
    with chaos.redis.client() as client:
        for _ in range(times):
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            chaos.hold(gap_s)


@fault(2, REDIS, busy_s=(0.3, 6.0))
def redis_busy(chaos, busy_s):
    """A script runs in an endless loop, so every other client gets no answer, and after a while
    BUSY."""
    def spin():
        try:
            with chaos.redis.client() as client:
                client.eval("while true do end", 0)
        except redis.exceptions.RedisError:
            pass  # SCRIPT KILL ended it, as intended

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    chaos.hold(busy_s)
    with chaos.redis.client() as client:
        chaos.insist(client.script_kill, "SCRIPT KILL")
    thread.join()


@fault(2, REDIS, asleep_s=(0.3, 6.0))
def redis_sleep(chaos, asleep_s):
    """Redis is suspended with SIGSTOP: connections stay open, but get no replies."""
    chaos.redis.master.pause()
    try:
        chaos.hold(asleep_s)
    finally:
        chaos.redis.master.resume()


@fault(2, REDIS, held_s=(0.5, 6.0))
def redis_out_of_memory(chaos, held_s):
    """maxmemory is reached and nothing may be evicted, so every write gets OOM."""
    _configure(chaos, held_s, "maxmemory", "1mb", "0")


@fault(1, REDIS, held_s=(0.5, 6.0))
def redis_no_replicas(chaos, held_s):
    """min-replicas-to-write is not met, so every write gets NOREPLICAS."""
    _configure(chaos, held_s, "min-replicas-to-write", "3", "0")


def _configure(chaos, held_s, name, bad, good):
    with chaos.redis.client() as client:
        client.config_set(name, bad)
        try:
            chaos.hold(held_s)
        finally:
            client.config_set(name, good)


@fault(2, REDIS, held_s=(0.5, 6.0))
def redis_read_only(chaos, held_s):
    """The master becomes a replica of a server that does not exist: every write gets READONLY."""
    with chaos.redis.client() as client:
        client.replicaof("127.0.0.1", 1)
        try:
            chaos.hold(held_s)
        finally:
            client.replicaof("NO", "ONE")


@fault(1, REDIS, held_s=(1.0, 6.0))
def redis_disk_full(chaos, held_s):
    """The disk of the append-only file is full: every write gets MISCONF once Redis notices."""
    if not chaos.redis.has_tmpfs:
        chaos.say("redis_disk_full: skipped, mounting a tmpfs is not permitted here")
        return
    chaos.redis.fill_disk()
    try:
        chaos.hold(held_s)
    finally:
        chaos.redis.free_disk()


@fault(2, FLEET, REDIS, NET_REDIS, which=(0, 99), day=[True, False])
def redis_foreign_field(chaos, which, day):
    """Another client spoils a count. All instances report the key and the field, and exit; then the
    count is as it was again, and they are restarted."""
    slots = chaos.fleet.running()
    with chaos.redis.unsaved(), chaos.redis.client() as client:
        key, field = _pick_count(client, chaos.place.prefix, which, day)
        if key is None:
            chaos.say("redis_foreign_field: skipped, nothing is counted yet")
            return
        for slot in slots:
            slot.may_exit = True
        client.eval(_SPOIL, 1, key, field, checks.FOREIGN)
        for slot in slots:
            _expect_exit(chaos, slot, key, field)
        client.eval(_UNSPOIL, 1, key, field, checks.FOREIGN)
        client.wait(1, 5000)
        chaos.redis.master.rewrite_append_only_file()
    for slot in slots:
        chaos.fleet.kill(slot)
        chaos.fleet.start(slot)
        slot.may_exit = False


_SPOIL = """local text = redis.call('HGET', KEYS[1], ARGV[1])
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. text)"""
_UNSPOIL = """local text = redis.call('HGET', KEYS[1], ARGV[1])
assert(text:sub(1, #ARGV[2]) == ARGV[2], 'it was changed: ' .. text)
return redis.call('HSET', KEYS[1], ARGV[1], text:sub(#ARGV[2] + 1))"""


def _pick_count(client, prefix, which, day):
    """Returns the key and field of a count that is added to all the time, or (None, None)."""
    key = f"{prefix}:login_counts:{checks.HOT_DAY}" if day else f"{prefix}:rejected_counts"
    found = sorted(client.hgetall(key).items(), key=lambda pair: -int(pair[1]))[:6]
    return (key, found[which % len(found)][0].decode()) if found else (None, None)


def _expect_exit(chaos, slot, key, field):
    instance = slot.instance
    wait.until(lambda: not instance.is_running(), 90,
               lambda: f"{instance.name} to exit because of {key} {field}:\n"
                       f"{process.tail(instance.log_path, 5)}", every=0.1)
    last = process.tail(instance.log_path, 1)
    is_named = key in last and field in last
    assert instance.wait_exit(0) == 1 and (is_named or not slot.was_ready), \
        f"{instance.name} does not name {key} {field}: {last}"
    chaos.say(f"{instance.name} has reported {key} {field}" if is_named
              else f"{instance.name} had not started yet: {last}")


@fault(2, NET_REDIS, held_s=(0.2, 6.0))
def net_redis_cut(chaos, held_s):
    """Connections are closed and new ones refused."""
    chaos.net([chaos.redis.port], held_s, "cut")


@fault(2, NET_REDIS, held_s=(0.2, 8.0))
def net_redis_hole(chaos, held_s):
    """Connections stay open, but data arrives only after the fault."""
    chaos.net([chaos.redis.port], held_s, "hole")


@fault(1, NET_REDIS, held_s=(1.0, 6.0), delay_s=(0.02, 1.5))
def net_redis_delay(chaos, held_s, delay_s):
    """Everything arrives later."""
    chaos.net([chaos.redis.port], held_s, "delay", delay_s)


@fault(2, NET_REDIS, held_s=(6.0, 12.0), delay_s=(0.5, 1.7))
def net_redis_slow(chaos, held_s, delay_s):
    """Each call is answered after seconds, the slowest of them after the deadline of a call."""
    chaos.net([chaos.redis.port], held_s, "delay", delay_s)


@fault(4, NET_REDIS, held_s=(0.2, 3.0))
def net_redis_reply(chaos, held_s):
    """Checkpoints are executed, but their replies are lost."""
    chaos.net([chaos.redis.port], held_s, "reply", [b"EVALSHA", b"evalsha", b"EVAL"])

"""The drills of docs/runbook.md, by name: what is lost, and the section that says what to do.

Each returns what came out, of which `./dev drill` makes a line of the runbook's table.
"""

import os
import re
import shutil
import subprocess

import monitoring
import rollcall
import wait


def redis_lost(scene):
    """Redis is gone with its disk, and there is no backup."""
    scene.settle()
    with scene.feed():
        scene.pass_time()
        scene.lose()
        scene.wipe_redis()
        exact = scene.recover("Redis is lost")
    scene.verify()
    return exact


def rdb(scene):
    """Redis is gone, and comes back from a snapshot that is older."""
    scene.settle()
    with scene.feed():
        os.makedirs(scene.names["BACKUP"])
        shutil.copy(scene.redis.save_copy(), scene.names["BACKUP"] / "dump.rdb")
        scene.pass_time()
        scene.lose()
        scene.wipe_redis()
        exact = scene.recover("An RDB is restored")
    scene.verify()
    return exact


def aof(scene):
    """The same from a copy of the append-only file, which ends within a checkpoint."""
    scene.settle()
    with scene.feed():
        copy = scene.names["BACKUP"] / "appendonlydir"
        shutil.copytree(os.path.join(scene.redis.folder, "appendonlydir"), copy)
        scene.redis.cut_file_in_transaction(copy)
        scene.pass_time()
        scene.lose()
        scene.wipe_redis()
        exact = scene.recover("An append-only file is restored")
        scene.redis.kill()  # Redis would run the rest of a torn file at its second start
        scene.redis.start()
        scene.wait_counted()
    scene.verify()
    return exact


def promote(scene):
    """The master is gone, and its replica lacks what came last."""
    master = ["127.0.0.1", str(scene.redis.port)]
    replica = scene.make_redis("replica", extra=["--replicaof", *master]).start()
    scene.names["OTHER_REDIS"] = replica.url()
    scene.settle()
    with scene.feed():
        with scene.redis.client() as client:
            wait.until(lambda: "'online'" in str(client.info("replication")), 60,
                       "the replica to be in sync")
        replica.pause()
        scene.pass_time()
        scene.lose()
        scene.redis.kill()
        replica.resume()
        exact = scene.recover("A replica is promoted")
    scene.verify()
    return exact


def redis_moves(scene):
    """The prefix moves to another Redis, which holds other keys, too."""
    other = scene.make_redis("other").start()
    with other.client() as client:
        client.set("of-somebody-else", "stays")
    scene.names.update(OTHER_HOST="127.0.0.1", OTHER_PORT=other.port, OTHER_REDIS=other.url())
    scene.settle()
    with scene.feed():
        scene.pass_time()
        scene.lose()
        exact = scene.recover("The prefix moves to another Redis")
    scene.verify()
    with other.client() as client, scene.redis.client() as old:
        assert client.get("of-somebody-else") == b"stays"
        assert old.dbsize() == 0, "something is left in the old one"
    return exact


def offsets_lost(scene):
    """The group's offsets have expired while no instance ran."""
    scene.settle()
    with scene.feed():
        scene.pass_time()
        scene.stop_instances()
        scene.load_more(scene.size.records)
        wait.until(lambda: scene.broker.members(scene.name) == 0, 60, "the group to be empty")
        admin = scene.broker.admin()
        admin.delete_consumer_groups([scene.name])[scene.name].result(30)
        scene.lose()
        exact = scene.recover("The group's offsets are lost")
    scene.verify()
    return exact


def records_gone(scene):
    """Redis comes back from a snapshot, and Kafka has deleted what came since: nobody can be exact,
    and the number is known."""
    scene.settle()
    os.makedirs(scene.names["BACKUP"])
    shutil.copy(scene.redis.save_copy(), scene.names["BACKUP"] / "dump.rdb")
    saved = scene.counted()
    scene.pass_time()
    begins = {p: offset - 10 for p, offset in scene.broker.end_offsets(scene.topic).items()}
    scene.broker.delete_records(scene.topic, begins)
    gone = {p: begins[p] - saved[p] for p in begins}
    with scene.feed():
        scene.lose()
        scene.wipe_redis()
        said = scene.follow("An RDB is restored", status=1)
        assert f"no longer holds {sum(gone.values())} of the records" in said, said
        for one in scene.instances:
            assert one.wait_exit(60) == 1
        named = [re.search(r"\[(\d+)\] needs offset \d+, .* (\d+) records are gone", one.log())
                 for one in scene.instances]
        assert named and all(gone[int(one[1])] == int(one[2]) for one in named), (gone, named)
        said = scene.follow("Kafka no longer holds what is needed", part=0, status=1)
        assert re.search(r"no longer holds \d+ of the records", said), said
        scene.follow("Kafka no longer holds what is needed", part=1)
        wait.until(lambda: scene.lost() == sum(gone.values()), 60,
                   lambda: f"{gone} to be reported as lost, now {scene.lost()}")
    return scene.came_out(f"exit status 1: {sum(gone.values())} records are gone")


def topic_moves(scene):
    """The topic moves to another cluster, by a mirror; the counts of both are compared."""
    mirror = scene.make_other_cluster()
    scene.settle()
    with scene.feed():
        scene.pass_time()
        naive = scene.folder / "naive.ini"
        naive.write_text(scene.ini.read_text().replace(scene.broker.address,
                                                       scene.other_broker.address))
        scene.lose()
        checked = rollcall.execute("check", "-c", str(naive))
        assert checked.returncode == 1 and "belongs to topic_id" in checked.stdout, checked.stdout
        scene.follow("The topic moves to another cluster", part=0)
    mirror.wait_complete()
    mirror.close()
    scene.main_ini = scene.other_ini
    exact = scene.recover("The topic moves to another cluster", part=1)
    exact.counted = sum(scene.counted().values())
    scene.load_more(scene.size.records, scene.other_broker)
    scene.verify()
    return exact


#: Before there were rules, lineages and declared counts. It needs nothing that this one does not.
EARLIER = "fccc1dc2"


def build_earlier(folder):
    """Builds the last release, or EARLIER where there is none; returns the path of the program."""
    def run(*command, **options):
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout.strip()

    tags = run("git", "-C", monitoring.REPO, "tag", "--list", "v*", "--sort=-creatordate").split()
    commit = run("git", "-C", monitoring.REPO, "rev-parse", (tags or [EARLIER])[0])
    source = os.path.join(folder, commit[:12])
    if not os.path.exists(os.path.join(source, "build", "rollcall")):
        shutil.rmtree(source, ignore_errors=True)
        os.makedirs(source)
        archive = os.path.join(folder, "earlier.tar")
        run("git", "-C", monitoring.REPO, "archive", "-o", archive, commit)
        run("tar", "-xf", archive, "-C", source)
        run("meson", "setup", "build", cwd=source)
        run("ninja", "-C", "build", "rollcall", cwd=source)
    return os.path.join(source, "build", "rollcall")


def release_back(scene):
    """The release before this one goes on with the counts, and then this one again. The load has no
    records that the two judge differently."""
    build = os.path.dirname(os.path.abspath(rollcall.BINARY))
    scene.names["EARLIER"] = build_earlier(os.path.join(build, "earlier"))
    os.makedirs(scene.names["BACKUP"])
    scene.settle()
    with scene.feed():
        scene.pass_time()
        scene.lose()
        exact = scene.recover("Back to an earlier release", part=0)
        scene.load_more(scene.size.records)
        scene.lose()
        scene.recover("Back to an earlier release", part=1)
    scene.verify()
    return exact


#: name -> (drill, options of the scene)
DRILLS = {
    "redis-lost": (redis_lost, {}),
    "rdb": (rdb, {}),
    "aof": (aof, {"append_only": True}),
    "promote": (promote, {}),
    "redis-moves": (redis_moves, {}),
    "offsets-lost": (offsets_lost, {}),
    "records-gone": (records_gone, {}),
    "topic-moves": (topic_moves, {}),
    "release-back": (release_back, {"odd_percent": 0}),
}

#: Those that `./dev test` runs, with a short load.
SHORT = ["redis-lost", "aof", "records-gone"]

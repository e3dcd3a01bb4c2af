"""The faults of `./dev monitoring`, each with the alerts that it must fire."""

import contextlib
import ctypes
import glob
import os
import signal
import threading
import time

from confluent_kafka import admin

import scene

FAULTS = {}


def fault(*alerts, may=(), week="1w", **options):
    """A fault that fires exactly these alerts, and perhaps those in `may`.

    The function yields while the fault lasts. `week` and `options` are the world's.
    """
    dotted = {name.replace("__", "."): value for name, value in options.items()}

    def add(function):
        FAULTS[function.__name__] = (contextlib.contextmanager(function), set(alerts), set(may),
                                     {"week": week, "options": dotted})
        return function
    return add


def configure(world, topic, name, value):
    """Sets a configuration of a topic."""
    entry = admin.ConfigEntry(name, str(value),
                              incremental_operation=admin.AlterConfigOpType.SET)
    resource = admin.ConfigResource("topic", topic, incremental_configs=[entry])
    world.broker.admin().incremental_alter_configs([resource])[resource].result(30)


@fault("RollcallDown")
def instance_down(world):
    """One of two instances is killed; the other takes over."""
    world.instances[0].kill()
    yield
    world.start(0)


@fault("RollcallDown", "RollcallAbsent", may=("RollcallLateRecords",))
def all_down(world):
    """Both instances are killed. What came meanwhile is late afterwards."""
    for slot in (0, 1):
        world.instances[slot].kill()
    yield
    for slot in (0, 1):
        world.start(slot)


@fault("RollcallDown", "RollcallPartitionUnowned", may=("RollcallLateRecords",),
       consumer__session__timeout__ms=40000)
def no_owner(world):
    """A static member is killed, and the group waits for it to come back."""
    world.instances[0].kill()
    yield
    world.start(0)


@fault("RollcallRestarting", "RollcallDuplicateInstanceId",
       may=("RollcallDown", "RollcallLateRecords", "RollcallPartitionUnowned",
            "RollcallTransactionsAborted", "RollcallRewindStorm", "RollcallAbsent"))
def twins(world):
    """Two instances have the same id, and a service manager restarts them."""
    is_over = threading.Event()

    def manage():
        while not is_over.is_set():
            for slot in (0, 1):
                if not world.instances[slot].is_running():
                    world.start(slot, **{"instance.id": "live-0"})
            is_over.wait(1)

    world.instances[1].kill()
    manager = threading.Thread(target=manage, daemon=True)
    manager.start()
    yield
    is_over.set()
    manager.join()
    for slot in (0, 1):
        world.instances[slot].kill()
        world.start(slot)


@fault("RollcallDependencyDown", "RollcallCheckpointsFailing", "RollcallPartitionStuck",
       "RollcallLateRecords")
def redis_away(world):
    """Redis is killed."""
    world.redis.kill()
    yield
    world.redis.start()


@fault("RollcallDependencyDown", "RollcallCheckpointsFailing", "RollcallPartitionStuck",
       "RollcallLateRecords")
def redis_hangs(world):
    """Redis is suspended: it takes connections, and answers nothing."""
    world.redis.pause()
    yield
    world.redis.resume()


@fault("RollcallRedisMemoryHigh", "RollcallCheckpointsFailing", "RollcallPartitionStuck",
       "RollcallLateRecords")
def redis_full(world):
    """Redis has reached its maxmemory."""
    with world.redis.client() as client:
        client.config_set("maxmemory", "1mb")
        yield
        client.config_set("maxmemory", "0")


@fault("RollcallRewindStorm", may=("RollcallLateRecords",))
def redis_forgets(world):
    """Redis loses everything, again and again."""
    is_over = threading.Event()

    def forget():
        while not is_over.wait(1.5):
            with world.redis.client() as client:
                client.flushall()

    forgetter = threading.Thread(target=forget, daemon=True)
    forgetter.start()
    yield
    is_over.set()
    forgetter.join()


@fault("RollcallDependencyDown", may=("RollcallLateRecords", "RollcallPartitionStuck",
                                      "RollcallPartitionUnowned", "RollcallTransactionsAborted"))
def kafka_away(world):
    """The broker is killed."""
    world.broker.kill()
    yield
    world.broker.start()


@fault("RollcallRecordsLost", input__on_gap="continue", may=("RollcallLateRecords",
                                                             "RollcallDown", "RollcallAbsent"))
def records_deleted(world):
    """Kafka deletes records while no instance runs."""
    for slot in (0, 1):
        world.instances[slot].kill()
    time.sleep(1.5)
    world.broker.delete_records(world.topic, world.broker.end_offsets(world.topic))
    for slot in (0, 1):
        world.start(slot)
    yield


@fault("RollcallHeadroomLow", "RollcallCheckpointsFailing", "RollcallDependencyDown",
       "RollcallPartitionStuck", "RollcallLateRecords")
def retention_ends(world):
    """Redis is away, and the topic keeps its records for an hour; then for a month."""
    configure(world, world.topic, "retention.ms", 3600000)
    world.redis.kill()
    yield
    configure(world, world.topic, "retention.ms", 720 * 3600000)  # rollcall asks once a minute
    world.redis.start()


@fault("RollcallRecordsTruncated", input__on_gap="continue",
       may=("RollcallLateRecords", "RollcallDown", "RollcallAbsent", "RollcallDependencyDown"))
def log_truncated(world):
    """Kafka's log loses its end while no instance runs: records that were counted are gone."""
    for slot in (0, 1):
        world.instances[slot].stop()
    ends = world.broker.end_offsets(world.topic)
    world.broker.stop()
    for partition, end in ends.items():
        world.broker.cut_log(world.topic, partition, end - 50)
    world.broker.start()
    for slot in (0, 1):
        world.start(slot)
    yield


@fault("RollcallTransactionsAborted", output__commit_ms=1000, consumer__session__timeout__ms=6000,
       may=("RollcallLateRecords", "RollcallPartitionStuck", "RollcallPartitionUnowned",
            "RollcallRewindStorm", "RollcallDependencyDown"))
def broker_stutters(world):
    """The broker stands still again and again, longer than a transaction may take."""
    is_over = threading.Event()

    def stutter():
        while not is_over.wait(2):
            world.broker.signal(signal.SIGSTOP)
            is_over.wait(5)
            world.broker.signal(signal.SIGCONT)

    stutterer = threading.Thread(target=stutter, daemon=True)
    stutterer.start()
    yield
    is_over.set()
    stutterer.join()


@contextlib.contextmanager
def held(task):
    """Stops one thread of another process, as a debugger does."""
    libc = ctypes.CDLL(None, use_errno=True)
    seize, interrupt, detach = 0x4206, 0x4207, 17  # ptrace(2)

    def call(request):
        if libc.ptrace(request, task, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    call(seize)
    call(interrupt)
    os.waitpid(task, 0x40000000)  # __WALL: also a thread that is not the process's first
    try:
        yield
    finally:
        call(detach)


@fault("RollcallThreadStuck", may=("RollcallLateRecords", "RollcallPartitionStuck"))
def thread_held(world):
    """One thread of an instance does not run any more, though it could."""
    for name in glob.glob(f"/proc/{world.instances[0].pid()}/task/*/comm"):
        with open(name, encoding="utf-8") as comm:
            if comm.read().startswith("ingest-"):
                task = int(name.split("/")[-2])
    with held(task):
        yield


@fault("RollcallReloadFailed")
def secret_missing(world):
    """An instance is to read its configuration again, and a file of it is missing."""
    os.rename(world.secret, world.secret + ".away")
    world.instances[0].signal(signal.SIGHUP)
    yield
    os.rename(world.secret + ".away", world.secret)
    world.instances[0].signal(signal.SIGHUP)


@fault("RollcallInputSilent", week="75m")  # divided, too: 150 s
def no_logins(world):
    """Nothing comes in any more, and a week ago something did."""
    time.sleep(150)
    world.feed.is_silent = True
    yield
    world.feed.is_silent = False


@fault("RollcallNothingAccepted", may=("RollcallRejectedShareHigh",))
def broken_producer(world):
    """Everything that comes in is rejected."""
    world.feed.rejected_percent = 100
    yield
    world.feed.rejected_percent = 1


@fault("RollcallRejectedShareHigh")
def worse_producer(world):
    """A fifth of what comes in is rejected, and a week ago it was 1 %."""
    time.sleep(3600 / scene.FACTOR + 30)
    world.feed.rejected_percent = 20
    yield
    world.feed.rejected_percent = 1


@fault("RollcallAnomaly", anomaly__threshold=20000)
def many_logins(world):
    """A minute has more logins than the threshold."""
    world.feed.burst(25000)
    yield

"""What a drill acts on: a load that never stops, two instances, Kafka and Redis; and an operator.

The operator is the text of docs/runbook.md: its commands run as they stand there. Three things of
the machine are played: `systemctl` starts and stops the drill's own processes, one command for all
instances, and the time between a backup and its return is the records that came meanwhile.
"""

import itertools
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

import drill_mirror
import kafka
import load
import oracle
import process
import redis_server
import rollcall
import runbook
import verify
import wait

PARTITIONS = 4
COMMANDS_S = 900
_serials = itertools.count(1)


class Size:
    """How much load: so many records before the loss, as many before it in a backup's time, and
    so many a second all the time."""

    def __init__(self, records, per_second):
        self.records, self.per_second = records, per_second


SHORT, FULL = Size(5000, 500), Size(100000, 1000)


class Outcome:
    """What came out of a recovery: the seconds from the loss until it was known, how many records
    the instances counted for it, and the last line of the audit."""

    def __init__(self, seconds, counted, proof):
        self.seconds, self.counted, self.proof = seconds, counted, proof


class Scene:
    """One drill's own place. `broker` is shared, Redis is not. `events` are options of load.Events."""

    def __init__(self, folder, broker, size, append_only=False, **events):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.broker, self.size = broker, size
        self.name = f"drill-{os.getpid()}-{next(_serials)}"
        self.topic = f"{self.name}-in"
        self.prefix = f"{{{self.name}}}"
        self.servers = []
        self.redis = self.make_redis("redis", append_only=append_only).start()
        self.ini = self.folder / "rollcall.ini"
        runbook.write_ini(self.ini, {
            "kafka.bootstrap.servers": broker.address, "consumer.group.id": self.name,
            "input.topic": self.topic, "output.topic": f"{self.name}-out",
            "output.rejected_topic": f"{self.name}-rejected", "redis.url": self.redis.url(),
            "redis.prefix": self.prefix})
        self.main_ini, self.other_ini = self.ini, self.folder / "other.ini"
        self.other_broker = None
        self.instances, self.logs = [], []
        self._ports = [process.free_port() for _ in range(4)]
        self._listener = socket.create_server(("127.0.0.1", 0))
        ask = (f"exec 3<>/dev/tcp/127.0.0.1/{self._listener.getsockname()[1]}\n"
               'echo "$@" >&3; read -r status <&3; exit "$status"')
        runbook.make_programs(self.folder / "programs", {"systemctl": ask})
        self.names = {
            "INI": self.ini, "REDIS": self.redis.url(), "PREFIX": self.prefix,
            "KAFKA": broker.address, "GROUP": self.name, "TOPIC": self.topic,
            "HTTP": f"http://127.0.0.1:{self._ports[0]}",
            "REDIS_DIR": self.redis.folder, "BACKUP": self.folder / "backup"}
        broker.create_topic(self.topic, PARTITIONS)
        self._events = events
        self.load = self._make_load()
        self.begun = None  # when the loss came, and which offsets had been there by then
        self.goal = {}

    def make_redis(self, name, **options):
        """Another Redis, not started."""
        server = redis_server.RedisServer(str(self.folder / name), **options)
        self.servers.append(server)
        return server

    # --- what runs ----------------------------------------------------------------------------

    def start_instances(self, ini=None):
        """Starts two instances. Those that ended by themselves are forgotten."""
        self.instances = [one for one in self.instances if one.is_running()]
        first = 0 if ini is None else 2
        for slot in (first, first + 1):
            one = rollcall.Instance(
                str(self.folder), f"run-{len(self.logs) + 1}",
                {"instance.id": f"{self.name}-{slot}",
                 "http.listen": f"127.0.0.1:{self._ports[slot]}"},
                arguments=("-c", str(ini or self.ini)),
                binary=str(self.folder / "programs" / "rollcall"))
            one.http_port = self._ports[slot]
            one.ini = ini or self.ini
            self.instances.append(one)
            self.logs.append(one.log_path)

    def stop_instances(self, ini=None):
        """Stops those that run with SIGTERM."""
        for one in [one for one in self.instances if one.ini == (ini or self.ini)]:
            if one.is_running():
                one.stop(60)
            self.instances.remove(one)

    def counted(self):
        """Partition -> offset, as stored in Redis."""
        return self.place().counted()

    def place(self):
        """Where to verify: the settings of the configuration file as they are now."""
        text = self.main_ini.read_text()
        port = int(re.search(r"^url = \S+:(\d+)/", text, re.MULTILINE)[1])
        server = next(one for one in self.servers if one.port == port)
        prefix = re.search(r"^prefix = (\S+)$", text, re.MULTILINE)[1]
        broker = self.broker if self.broker.address in text else self.other_broker
        return verify.Place(broker, server, self.name, prefix, self.topic,
                            f"{self.name}-out", f"{self.name}-rejected")

    def wait_counted(self, goal=None, seconds=120):
        """Waits until all partitions are counted up to these offsets, or to where the log ends."""
        goal = goal or self.broker.end_offsets(self.topic)
        wait.until(lambda: all(self.counted().get(p, 0) >= end for p, end in goal.items()),
                   seconds, lambda: f"{goal} to be counted, now {self.counted()}", every=0.1)

    def settle(self):
        """The quiet before: two instances have counted what there is, and the load goes on."""
        self.load.produce(self.size.records)
        self.start_instances()
        for one in self.instances:
            one.wait_ready(60)
        self.wait_counted()

    def feed(self):
        """The load that goes on; a context."""
        return self.load.feed(self.size.per_second)

    def pass_time(self):
        """What comes between a backup and the loss; it is counted."""
        self.load_more(self.size.records)
        self.wait_counted()

    def load_more(self, count, broker=None):
        """Produces so many more, beside the steady ones."""
        more = self._make_load(broker)
        more.produce(count)
        self.load.records += more.records

    def _make_load(self, broker=None):
        events = load.Events(next(_serials), PARTITIONS, **self._events)
        return load.Load(broker or self.broker, self.topic, events)

    # --- the operator -------------------------------------------------------------------------

    def lose(self):
        """The loss comes now: the clock starts. What Kafka holds at this moment must be counted."""
        self.goal = self.broker.end_offsets(self.topic)
        self.begun = time.monotonic()

    def follow(self, heading, part=None, status=0):
        """Runs the commands of a section, or of one block of it; the last block must exit with this
        status. Returns what they printed."""
        commands = runbook.section(heading)
        assert commands, f"docs/runbook.md has no commands under {heading!r}"
        commands = commands if part is None else [commands[part]]
        said = ""
        for n, block in enumerate(commands):
            wanted = status if n == len(commands) - 1 else 0
            code, output = self._run(block)
            said += output
            assert code == wanted, f"{heading}: status {code}, not {wanted}:\n{block}\n{said}"
        return said

    def _run(self, block):
        with open(self.folder / "commands.log", "a+b") as out:
            begin = out.seek(0, os.SEEK_END)
            shell = subprocess.Popen(runbook.SHELL + [block], stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=subprocess.STDOUT,
                                     env=runbook.environment(self.folder / "programs", self.names))
            deadline = time.monotonic() + COMMANDS_S
            self._listener.settimeout(0.05)
            while shell.poll() is None:
                if time.monotonic() > deadline:
                    process.kill(shell)
                    raise wait.TimedOut(f"these commands to end:\n{block}")
                try:
                    client = self._listener.accept()[0]
                except TimeoutError:
                    continue
                with client, client.makefile("rw") as words:
                    words.write(f"{self._systemctl(*words.readline().split())}\n")
                    words.flush()
            out.seek(begin)
            return shell.returncode, out.read().decode(errors="replace")

    def _systemctl(self, verb, unit):
        actions = {("start", "redis-server"): self.redis.start,
                   ("stop", "redis-server"): self.redis.stop,
                   ("start", "rollcall"): self.start_instances,
                   ("stop", "rollcall"): self.stop_instances,
                   ("start", "rollcall@other"): lambda: self.start_instances(self.other_ini)}
        for one in ("stop", "start") if verb == "restart" else (verb,):
            actions[one, unit]()
        return 0

    def recover(self, heading, part=None):
        """The loss has come: follows the section, whose last command is the audit that proves the
        counts. They must have come to where the log ended at the loss by then."""
        before = {one: self._counted_by(one) for one in self.instances}
        said = self.follow(heading, part)
        took_s = time.monotonic() - self.begun
        counted = self.counted()
        assert all(counted.get(p, 0) >= end for p, end in self.goal.items()), \
            f"counted {counted}, and {self.goal} had come before the loss"
        audit = re.findall(r"^\d+ records counted again: .*$", said, re.MULTILINE)[-1]
        assert audit.endswith(": 0 differences"), said
        again = sum(self._counted_by(one) - before.get(one, 0) for one in self.instances)
        return Outcome(took_s, again, audit)

    def came_out(self, proof):
        """The outcome of a loss that leaves no exact counts."""
        counted = sum(self._counted_by(one) for one in self.instances)
        return Outcome(time.monotonic() - self.begun, counted, proof)

    @staticmethod
    def _counted_by(instance):
        """How many records an instance has counted since its start."""
        return int(instance.metric("rollcall_records_counted_total"))

    def lost(self):
        """How many records the instances have reported as lost."""
        return int(sum(one.metric("rollcall_records_lost_total") for one in self.instances))

    # --- the proof ----------------------------------------------------------------------------

    def verify(self, with_output=True):
        """The load has stopped: all counts, and the output, are as an oracle has them that shares
        no code with the program."""
        place = self.place()
        verify.wait_quiet(place, 120)
        expected = oracle.Expected(self.load.records)
        verify.check_redis(place, expected)
        if with_output:
            verify.check_output(place, expected)
            verify.check_rejected(place, expected)

    def close(self):
        """Kills everything."""
        for one in self.instances:
            one.kill()
        for server in self.servers:
            server.kill()
        if self.other_broker:
            self.other_broker.kill()
        self._listener.close()

    def explain(self):
        """What helps to understand a failure."""
        def end_of(path):
            lines = process.tail(path, 2000).splitlines()
            return "\n".join([line for line in lines if "Anomaly detected" not in line][-25:])

        return "\n".join(f"--- {os.path.basename(path)}\n{end_of(path)}"
                         for path in [*self.logs[-4:], str(self.folder / "commands.log")]
                         if os.path.exists(path))

    def make_other_cluster(self):
        """Another Kafka, with a mirror of the input topic; returns the mirror."""
        self.other_broker = kafka.Kafka(str(self.folder / "other-kafka")).start()
        self.other_broker.create_topic(self.topic, PARTITIONS)
        self.names.update(OTHER_KAFKA=self.other_broker.address, OTHER_INI=self.other_ini,
                          OTHER_PREFIX=f"{{{self.name}-other}}")
        return drill_mirror.Mirror(self.broker, self.other_broker, self.topic, PARTITIONS)

    def wipe_redis(self):
        """Redis is gone, with its disk."""
        self.redis.kill()
        shutil.rmtree(self.redis.folder)
        os.makedirs(self.redis.folder)

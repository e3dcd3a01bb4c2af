"""A real Apache Kafka broker (KRaft) in its own folder, on free loopback ports."""

import base64
import contextlib
import glob
import os
import re
import shutil
import struct
import subprocess
import uuid

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import IsolationLevel
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType,
                                   AdminClient, NewPartitions, NewTopic, OffsetSpec,
                                   ResourcePatternType, ResourceType)

import process
import wait

JARS = os.environ.get("RC_KAFKA_JARS") or os.path.join(
    os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "rollcall/kafka-4.2.2")


def version():
    """The release of the jars, as (major, minor)."""
    jar = glob.glob(os.path.join(JARS, "kafka_2.13-*.jar"))
    found = re.search(r"-(\d+)\.(\d+)[^/]*\.jar$", jar[0] if jar else "")
    if found is None:
        raise RuntimeError(f"{JARS} has no Kafka jars: run ./dev test, or set RC_KAFKA_JARS")
    return int(found[1]), int(found[2])


#: The one user of the SASL listener. The plain listener's user is a super user.
SASL_USER, SASL_PASSWORD = "rollcall", "broker-secret-71"

#: The codecs under librdkafka's names, indexed by their number in a record batch.
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

_PROPERTIES = """
process.roles={roles}
node.id={node_id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl_port},\
PROXIED://127.0.0.1:{proxied_port}{controller_listener}{more_listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl_port},\
PROXIED://127.0.0.1:{advertised_port}{more_listeners}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,\
PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT{more_protocols}
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required \
user_{sasl_user}="{sasl_password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
log.dirs={data}
auto.create.topics.enable=false
delete.topic.enable=true
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
num.recovery.threads.per.data.dir=2
log.cleaner.enable=false
log.flush.start.offset.checkpoint.interval.ms=60000
# Records have timestamps from years ago. Age and jumps in time must not delete or roll logs.
log.retention.ms=-1
log.retention.bytes=-1
log.roll.ms=3153600000000
"""


def _persist(ask, what):
    """Retries a request, because leaders are still unknown just after a broker start."""
    def attempt():
        try:
            return [ask()]
        except (KafkaException, TimeoutError) as error:
            failures.append(error)
            return None

    failures = []
    return wait.until(attempt, 30, lambda: f"{what}: {failures[-1]!r}", every=0.1)[0]


class Client:
    """Requests to a broker, or to a cluster, whose plain listeners are in `address`."""

    address = None
    _admin = None
    _asker = None  # (group, consumer)

    def admin(self):
        """Returns an admin client of the plain listeners; a new one after the broker was down."""
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0,
                                       "socket.timeout.ms": 10000,
                                       "reconnect.backoff.max.ms": 500})
        return self._admin

    def create_topic(self, topic, partitions, **config):
        """Creates a topic (a__b=1 sets a.b=1) and waits until its leaders are known."""
        settings = {name.replace("__", "."): str(value) for name, value in config.items()}
        wanted = NewTopic(topic, partitions, config=settings)
        self.admin().create_topics([wanted])[topic].result(30)
        wait.until(lambda: self.partition_count(topic) == partitions, 30,
                   f"topic {topic} to be created")

    def grow_topics(self, topics, partitions):
        """Grows all topics to this many partitions at once; waits until their leaders are known."""
        grown = self.admin().create_partitions([NewPartitions(topic, partitions)
                                                for topic in topics])
        for topic in topics:
            grown[topic].result(30)
        for topic in topics:
            wait.until(lambda: self.partition_count(topic) == partitions, 30,
                       f"topic {topic} to grow to {partitions} partitions")

    def delete_topic(self, topic):
        """Deletes a topic and waits until it is gone."""
        self.admin().delete_topics([topic])[topic].result(30)
        wait.until(lambda: self.partition_count(topic) == 0, 30, f"topic {topic} to be deleted")

    def partition_count(self, topic):
        """The number of the topic's partitions that have a leader; 0 if it does not exist."""
        found = self.admin().list_topics(timeout=10).topics.get(topic)
        if found is None or found.error is not None:
            return 0
        return sum(1 for part in found.partitions.values() if part.leader >= 0)

    def _offsets(self, topic, spec, isolation):
        asked = {TopicPartition(topic, p): spec for p in range(self.partition_count(topic))}
        if not asked:
            return {}

        def ask():
            answers = self.admin().list_offsets(asked, isolation_level=isolation,
                                                request_timeout=10)
            return {part.partition: future.result(10).offset
                    for part, future in answers.items()}

        return _persist(ask, f"offsets of {topic}")

    def end_offsets(self, topic):
        """Returns partition -> high watermark."""
        return self._offsets(topic, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)

    def stable_offsets(self, topic):
        """Returns partition -> last stable offset, up to which a read_committed reader can read."""
        return self._offsets(topic, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)

    def begin_offsets(self, topic):
        """Returns partition -> log start offset."""
        return self._offsets(topic, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED)

    def group_state(self, group):
        """Describes a group as its coordinator sees it: the state, and each member's partitions."""
        found = self.admin().describe_consumer_groups([group], request_timeout=10)[group].result(15)
        members = {f"{member.member_id} {member.group_instance_id or ''}".strip():
                   [part.partition for part in member.assignment.topic_partitions]
                   for member in found.members}
        return f"{found.state.name} {members}"

    def committed(self, group, topic):
        """Returns partition -> the group's committed offset, for partitions that have one."""
        asked = [TopicPartition(topic, p) for p in range(self.partition_count(topic))]
        if not asked:
            return {}
        try:
            found = self._asker_of(group).committed(asked, timeout=10)
        except KafkaException:
            self._drop_asker()
            return {}
        return {part.partition: part.offset for part in found if part.offset >= 0}

    def committed_epoch(self, group, topic, partition):
        """Returns the leader epoch that is kept with the group's committed offset."""
        asked = [TopicPartition(topic, partition)]
        return self._asker_of(group).committed(asked, timeout=10)[0].leader_epoch

    def _asker_of(self, group):
        """Returns a consumer that never joins the group. The admin client cannot be used for this:
        it may fail permanently, or crash, if a broker restarts meanwhile."""
        if self._asker is None or self._asker[0] != group:
            self._drop_asker()
            self._asker = group, Consumer({
                "bootstrap.servers": self.address, "group.id": group, "log_level": 0,
                "enable.auto.commit": False, "isolation.level": "read_uncommitted",
                "reconnect.backoff.max.ms": 500})
        return self._asker[1]

    def _drop_asker(self):
        if self._asker is not None:
            self._asker[1].close()
        self._asker = None

    def commit(self, group, topic, offsets):
        """Sets the committed offsets of a group without members."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group})
        consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in offsets.items()],
                        asynchronous=False)
        consumer.close()

    def members(self, group):
        """The current number of members of the group."""
        try:
            found = self.admin().describe_consumer_groups([group])[group].result(10)
        except (KafkaException, TimeoutError):
            return 0
        return len(found.members)

    def delete_records(self, topic, before):
        """Deletes the records below the offsets in before: partition -> offset."""
        asked = [TopicPartition(topic, p, offset) for p, offset in before.items()]
        for future in self.admin().delete_records(asked).values():
            future.result(30)

    def deny_create(self, topic):
        """Denies the SASL user the creation of this topic; returns a function that undoes it."""
        return self.deny(AclOperation.CREATE, (ResourceType.TOPIC, topic),
                         (ResourceType.BROKER, "kafka-cluster"))

    def deny(self, operation, *resources):
        """Denies the SASL user an operation on each (kind, name); returns a function to undo it.

        All other operations are allowed explicitly, because a resource that has any ACL forbids
        everything that no ACL allows.
        """
        acls = [AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{SASL_USER}", "*",
                           *rule) for kind, name in resources
                for rule in ((AclOperation.ALL, AclPermissionType.ALLOW),
                             (operation, AclPermissionType.DENY))]
        for future in self.admin().create_acls(acls).values():
            future.result(30)

        def lift():
            filters = [AclBindingFilter(acl.restype, acl.name, acl.resource_pattern_type,
                                        acl.principal, acl.host, acl.operation,
                                        acl.permission_type) for acl in acls]
            for future in self.admin().delete_acls(filters).values():
                future.result(30)

        return lift


def new_cluster_id():
    """Returns a random cluster id in the format of StorageTool."""
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()
    return "A" + cluster_id[1:] if cluster_id.startswith("-") else cluster_id


@contextlib.contextmanager
def running(tmp_path_factory, **options):
    """Runs a broker while the context is open; takes the options of Kafka."""
    server = Kafka(str(tmp_path_factory.mktemp("kafka")), **options)
    server.start()
    yield server
    server.kill()


class Kafka(Client):
    """One broker. It keeps its folder and its ports over stop, kill and start.

    In a cluster, `controllers` maps the node ids of those that are also controllers to their
    controller ports, and `cluster_id` is the id of the cluster. `extra` is appended to
    server.properties and overrides earlier lines. `advertise` takes the port of a third listener
    and returns the port to advertise for it, that of a proxy. `listeners` are further ones:
    name -> (port, security protocol).
    """

    def __init__(self, folder, node_id=1, controllers=None, cluster_id=None, heap_mb=512,
                 extra="", advertise=None, listeners=None):
        self.folder = folder
        self.node_id = node_id
        self.port = process.free_port()
        self.sasl_port = process.free_port()
        self.proxied_port = process.free_port()
        advertised_port = advertise(self.proxied_port) if advertise else self.proxied_port
        self.proxied_address = f"127.0.0.1:{advertised_port}"
        controllers = controllers or {node_id: process.free_port()}
        self.address = f"127.0.0.1:{self.port}"
        self.sasl_address = f"127.0.0.1:{self.sasl_port}"
        self.log_path = os.path.join(folder, "kafka.log")
        self._properties = os.path.join(folder, "server.properties")
        self._heap_mb = heap_mb
        self._process = None
        version()  # raises if there is none
        os.makedirs(folder, exist_ok=True)
        with open(self._properties, "w") as out:
            out.write(_PROPERTIES.format(
                node_id=node_id,
                voters=",".join(f"{n}@127.0.0.1:{p}" for n, p in controllers.items()),
                roles="broker" + (",controller" if node_id in controllers else ""),
                controller_listener=f",CONTROLLER://127.0.0.1:{controllers[node_id]}"
                                    if node_id in controllers else "",
                port=self.port, sasl_port=self.sasl_port,
                proxied_port=self.proxied_port, advertised_port=advertised_port,
                more_listeners="".join(f",{name}://127.0.0.1:{port}"
                                       for name, (port, _) in (listeners or {}).items()),
                more_protocols="".join(f",{name}:{protocol}"
                                       for name, (_, protocol) in (listeners or {}).items()),
                sasl_user=SASL_USER, sasl_password=SASL_PASSWORD,
                data=os.path.join(folder, "data")) + extra)
        done = subprocess.run(self.command("kafka.tools.StorageTool", "format", "-t",
                                           cluster_id or new_cluster_id(), "-c", self._properties),
                              capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"cannot format the broker's storage: {done.stdout}{done.stderr}")

    def command(self, main_class, *arguments):
        """Returns the command line that runs a class of Kafka's with these arguments."""
        return ["java", f"-Xms{self._heap_mb}m", f"-Xmx{self._heap_mb}m",
                "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                "-cp", os.path.join(JARS, "*"), main_class, *arguments]

    def start(self):
        """Starts the broker and waits until it responds."""
        self.launch()
        return self.wait_answers()

    def launch(self):
        """Starts the broker without waiting; in a cluster it responds once a majority runs."""
        self._process = process.spawn(self.command("kafka.Kafka", self._properties), self.log_path,
                                      cwd=self.folder)

    def wait_answers(self):
        """Waits until the broker responds."""
        wait.until(self._answers, 90, lambda: f"Kafka to respond: {process.tail(self.log_path)}",
                   every=0.2, alive=self._check_alive)
        return self

    def _check_alive(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"Kafka exited: {process.tail(self.log_path)}")

    def _answers(self):
        try:
            return self.admin().list_topics(timeout=2).brokers
        except KafkaException:
            self._admin = None
            return False

    def codecs(self, topic):
        """The compression codecs of the record batches in the topic's log on disk."""
        found = set()
        for path in glob.glob(os.path.join(self.folder, "data", f"{topic}-[0-9]*", "*.log")):
            with open(path, "rb") as segment:
                log = segment.read()
            at = 0
            while at + 23 <= len(log):
                length, magic, attributes = struct.unpack_from(">8xi4xb4xh", log, at)
                assert magic == 2, f"{path} has a batch of format {magic} at {at}"
                if not attributes & 0x20:  # a control batch has no records
                    found.add(CODECS[attributes & 7])
                at += 12 + length
        return found

    def stop(self):
        """Stops the broker cleanly with SIGTERM."""
        process.terminate(self._process, 60)
        self._admin = None

    def kill(self):
        """Kills the broker with SIGKILL."""
        process.kill(self._process)
        self._admin = None

    def cut_log(self, topic, partition, offset):
        """Removes the batches at and above an offset from the log of a stopped broker, as if its
        disk had lost them. Returns the new end."""
        folder = os.path.join(self.folder, "data", f"{topic}-{partition}")
        end = 0
        for path in sorted(glob.glob(os.path.join(folder, "*.log"))):
            with open(path, "rb") as segment:
                log = segment.read()
            at = 0
            while at + 27 <= len(log):
                base, length, last_delta = struct.unpack_from(">qi11xi", log, at)
                if base + last_delta >= offset:
                    break
                end = base + last_delta + 1
                at += 12 + length
            os.truncate(path, at)
        for path in glob.glob(os.path.join(folder, "*")):
            if path.endswith((".index", ".timeindex", ".txnindex", ".snapshot")):
                os.remove(path)
        clean = os.path.join(self.folder, "data", ".kafka_cleanshutdown")
        if os.path.exists(clean):
            os.remove(clean)
        return end

    def save_copy(self):
        """Copies all that a stopped broker has stored; returns the copy's path."""
        copy = os.path.join(self.folder, "copy")
        shutil.copytree(os.path.join(self.folder, "data"), copy)
        return copy

    def restore(self, copy):
        """Puts a copy in the place of what a stopped broker has stored."""
        shutil.rmtree(os.path.join(self.folder, "data"))
        shutil.copytree(copy, os.path.join(self.folder, "data"))

    def lose_groups(self):
        """Deletes all group state from the disk of a stopped broker."""
        for path in glob.glob(os.path.join(self.folder, "data", "__consumer_offsets-*")):
            shutil.rmtree(path)

    def signal(self, number):
        """Sends the broker a signal."""
        self._process.send_signal(number)

    def is_running(self):
        """Whether the broker's process is running."""
        return self._process is not None and self._process.poll() is None

"""What Kubernetes does to the pods of deploy/kubernetes, imitated with processes.

The pods of a StatefulSet are replaced under the same name, which is their instance.id: the
successor starts when its predecessor is gone. Those of a Deployment come back under another one.
"""

import os
import re

import pytest
from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType,
                                   ResourcePatternType, ResourceType)

import kafka

COMPONENTS = os.path.join(os.path.dirname(__file__), "..", "..", "deploy", "kubernetes",
                          "components")
RATE = 3000
#: The settings of a pod: a session that lasts longer than a pod takes to be replaced.
POD = {"consumer__session__timeout__ms": 10000}
MOVED = ("Partitions assigned", "Partitions given away", "Partitions lost")


def start_pods(world, count):
    """Starts the pods of a StatefulSet, all at once (podManagementPolicy: Parallel)."""
    pods = [start_pod(world, f"rollcall-{number}") for number in range(count)]
    world.wait_shared(*pods)
    return pods


def start_pod(world, name, log=None):
    """Starts a pod whose id is its name; its log gets another name if it is a successor."""
    return world.run(log or name, instance__id=name, **POD)


def moves(pod):
    """How often partitions came to a pod, or went."""
    return sum(pod.log().count(message) for message in MOVED)


def replace(world, pods, number, end):
    """Ends a pod and starts its successor; the partitions of the others must stay."""
    before = pods[number].metric("rollcall_assigned_partitions")
    others = [pod for pod in pods if pod is not pods[number]]
    moved = [moves(pod) for pod in others]
    end(pods[number])
    successor = start_pod(world, f"rollcall-{number}", f"successor-{len(world.instances)}")
    successor.wait_ready()
    successor.wait_assigned(before)
    assert [moves(pod) for pod in others] == moved, "a replaced pod moved partitions of the others"
    pods[number] = successor
    return successor


@pytest.mark.timeout(180)
def test_rolling_update_of_a_statefulset(world):
    """From the highest number down, each when the one before is ready: what was read is never read
    again, and no partition moves."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        pods = start_pods(world, 3)
        feed.wait_for_more(2000)
        for number in (2, 1, 0):
            successor = replace(world, pods, number, lambda pod: pod.stop())
            feed.wait_for_more(1000)
            assert successor.metric("rollcall_rewinds_total") == 0
    world.verify(load, pods[0])
    for pod in pods:
        pod.stop()


@pytest.mark.timeout(180)
def test_eviction_beyond_the_grace_period(world):
    """The kubelet kills what has not ended in time. The successor has the same id, takes over the
    transaction that was left open, and no partition moves."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        pods = start_pods(world, 3)
        feed.wait_for_more(2000)
        replace(world, pods, 1, lambda pod: pod.kill())
        feed.wait_for_more(2000)
    world.verify(load, pods[0])
    for pod in pods:
        pod.stop()


@pytest.mark.timeout(180)
def test_scaling_from_one_to_three_and_back(world):
    """Partitions move to the new pods, and back when the highest two are taken away at once."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        pods = start_pods(world, 1)
        feed.wait_for_more(2000)
        pods += [start_pod(world, "rollcall-1"), start_pod(world, "rollcall-2")]
        world.wait_shared(*pods)
        feed.wait_for_more(2000)
        for pod in (pods[2], pods[1]):
            pod.stop()
        pods[0].wait_assigned(4)
        feed.wait_for_more(2000)
    world.verify(load, pods[0])
    assert pods[0].metric("rollcall_records_lost_total") == 0
    pods[0].stop()


@pytest.mark.timeout(180)
def test_rolling_update_of_a_deployment(world):
    """No ids: one pod goes (maxSurge: 0), another comes, and partitions move twice."""
    load = world.make_load()
    with load.feed(RATE) as feed:
        pods = [world.run(f"a-{number}") for number in range(3)]
        world.wait_shared(*pods)
        for number in range(3):
            feed.wait_for_more(1000)
            pods[number].stop()
            pods[number] = world.run(f"b-{number}").wait_ready()
            world.wait_shared(*pods)
    world.verify(load, pods[0])
    for pod in pods:
        pod.stop()


def read_rights(world):
    """The ACLs of the KafkaUser, with the names of this world."""
    names = {"user-login": world.topic, "processed-user-login": world.output,
             "user-login-rejected": world.rejected, "rollcall": world.group,
             "rollcall-rollcall-": f"rollcall-{world.group}-"}
    with open(os.path.join(COMPONENTS, "strimzi", "user.yaml"), encoding="utf-8") as file:
        rules = re.findall(r"- resource: \{type: (\w+), name: ([\w-]+)(, patternType: prefix)?\}"
                           r"(?:\n *#.*)*\n *operations: \[(.*)\]", file.read())
    kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP,
             "transactionalId": ResourceType.TRANSACTIONAL_ID}
    snake = re.compile(r"(?<=[a-z])(?=[A-Z])")
    return [AclBinding(kinds[kind], names[name],
                       ResourcePatternType.PREFIXED if prefix else ResourcePatternType.LITERAL,
                       f"User:{kafka.SASL_USER}", "*",
                       AclOperation[snake.sub("_", operation).upper()], AclPermissionType.ALLOW)
            for kind, name, prefix, operations in rules for operation in operations.split(", ")]


@pytest.fixture
def rights(world):
    """Gives the SASL user the rights of the KafkaUser: to these resources it has no other ones."""
    acls = read_rights(world)
    # Rights of somebody else on all of it: without any, Kafka lets everybody in here.
    for kind, name in ((ResourceType.TOPIC, world.topic), (ResourceType.TOPIC, world.output),
                       (ResourceType.TOPIC, world.rejected), (ResourceType.GROUP, world.group),
                       (ResourceType.TRANSACTIONAL_ID, f"rollcall-{world.group}-")):
        acls.append(AclBinding(kind, name, ResourcePatternType.PREFIXED, "User:nobody", "*",
                               AclOperation.ALL, AclPermissionType.ALLOW))
    for future in world.broker.admin().create_acls(acls).values():
        future.result(30)
    yield acls
    filters = [AclBindingFilter(acl.restype, acl.name, acl.resource_pattern_type, acl.principal,
                                acl.host, acl.operation, acl.permission_type) for acl in acls]
    for future in world.broker.admin().delete_acls(filters).values():
        future.result(30)


def test_the_rights_of_the_kafka_user_are_enough(world, rights):
    assert len(rights) == 11 + 5
    for topic in (world.output, world.rejected):
        world.broker.create_topic(topic, 4)
    load = world.make_load()
    load.produce(2000)
    login = dict(kafka__bootstrap__servers=world.broker.sasl_address,
                 kafka__security__protocol="SASL_PLAINTEXT", kafka__sasl__mechanism="PLAIN",
                 kafka__sasl__username=kafka.SASL_USER, kafka__sasl__password=kafka.SASL_PASSWORD)
    checked = world.execute("check", **login)
    assert checked.returncode == 0, checked.stdout
    pod = world.run("rollcall-0", instance__id="rollcall-0", **login).wait_ready()
    world.verify(load, pod)
    names = {name for name, _ in pod.metrics()}
    assert "rollcall_retention_headroom_seconds" in names, "it may not read the topic's settings"
    pod.stop()

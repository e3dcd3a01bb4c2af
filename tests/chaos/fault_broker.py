"""Faults of the brokers, and of the network between them and rollcall."""

import signal

from fault import BROKER, NET_KAFKA, fault

#: Kafka's API keys, named after the request whose reply is lost.
_APIS = {"produce": [0], "fetch": [1], "offset_fetch": [9], "join": [11, 14], "heartbeat": [12],
         "producer_id": [22], "partitions_to_txn": [24, 25], "end_txn": [26],
         "txn_offset_commit": [28]}


@fault(2, BROKER, brokers=1, down_s=(0.0, 5.0))
def broker_kill(chaos, down_s):
    """The only broker is killed with SIGKILL and restarted."""
    _restart(chaos, chaos.cluster.nodes[0], True, down_s)


@fault(1, BROKER, brokers=1, down_s=(0.0, 3.0))
def broker_restart(chaos, down_s):
    """The only broker is stopped with SIGTERM and restarted."""
    _restart(chaos, chaos.cluster.nodes[0], False, down_s)


@fault(1, BROKER, which=(0, 2), asleep_s=(0.5, 8.0))
def broker_sleep(chaos, which, asleep_s):
    """A broker is suspended with SIGSTOP."""
    node = chaos.cluster.nodes[which % len(chaos.cluster.nodes)]
    node.signal(signal.SIGSTOP)
    try:
        chaos.hold(asleep_s)
    finally:
        node.signal(signal.SIGCONT)


@fault(3, BROKER, brokers=3, which=(0, 2), how=[True, True, False], down_s=(0.0, 8.0))
def broker_one_of_three(chaos, which, how, down_s):
    """One of three brokers is killed (or stopped) and comes back."""
    _restart(chaos, chaos.cluster.nodes[which], how, down_s)


@fault(3, BROKER, brokers=3, topic=["__consumer_offsets", "__transaction_state"], which=(0, 99),
       how=[True, False], down_s=(0.0, 5.0))
def broker_coordinator(chaos, topic, which, how, down_s):
    """The broker of a group or transaction coordinator goes down, so the coordinator moves."""
    leaders = chaos.cluster.leaders(topic)
    if leaders:
        partition = chaos.group_partition(len(leaders)) if topic == "__consumer_offsets" else \
            which % len(leaders)
        _restart(chaos, leaders[partition], how, down_s)


@fault(2, BROKER, brokers=3)
def broker_elect(chaos):
    """Preferred leaders take over: leaders and coordinators move while all brokers are up."""
    chaos.cluster.elect_preferred()


def _restart(chaos, node, is_killed, down_s):
    if is_killed:
        node.kill()
    else:
        node.stop()
    chaos.hold(down_s)
    node.start()
    chaos.cluster.wait_whole()


@fault(1, NET_KAFKA, held_s=(0.2, 6.0))
def net_kafka_cut(chaos, held_s):
    """Connections are closed and new ones refused."""
    chaos.net(chaos.cluster.routes, held_s, "cut")


@fault(1, NET_KAFKA, held_s=(0.2, 9.0))
def net_kafka_hole(chaos, held_s):
    """Connections stay open, but data arrives only after the fault."""
    chaos.net(chaos.cluster.routes, held_s, "hole")


@fault(1, NET_KAFKA, held_s=(1.0, 5.0), delay_s=(0.02, 1.0))
def net_kafka_delay(chaos, held_s, delay_s):
    """Everything arrives later."""
    chaos.net(chaos.cluster.routes, held_s, "delay", delay_s)


@fault(1, NET_KAFKA, held_s=(0.5, 5.0))
def net_kafka_blind(chaos, held_s):
    """Metadata responses list no brokers, as if all of them were fenced."""
    chaos.net(chaos.cluster.routes, held_s, "blind")


@fault(6, NET_KAFKA, held_s=(0.2, 4.0), which=list(_APIS))
def net_kafka_reply(chaos, held_s, which):
    """Requests of one kind are executed, but their replies are lost."""
    chaos.net(chaos.cluster.routes, held_s, "reply", _APIS[which])

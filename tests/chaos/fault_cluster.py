"""Faults of a Redis Cluster."""

import wait
from fault import CLUSTER, fault


@fault(5, CLUSTER, times=(3, 7), gap_s=(0.1, 1.5), which=(0, 1))
def cluster_move(chaos, times, gap_s, which):
    """The prefix's slot moves to another master and back, key by key, several times."""
    cluster = chaos.redis
    home = cluster.master
    away = [node for node in cluster.masters() if node is not home][which]
    for _ in range(times):
        for source, target in ((home, away), (away, home)):
            cluster.move_slot(source, target)
            chaos.totals["slot moves"] += 1
            chaos.hold(gap_s)
    cluster.wait_whole()


@fault(4, CLUSTER, how=[[], ["FORCE"], ["TAKEOVER"]])
def cluster_fail_over(chaos, how):
    """CLUSTER FAILOVER, FORCE or TAKEOVER: the replica becomes the owner."""
    cluster = chaos.redis
    old = cluster.master
    for is_last in (False, False, True):  # Redis may give up a try without saying so
        cluster.call(cluster.replicas()[0], "CLUSTER", "FAILOVER", *how)
        try:
            wait.until(lambda: cluster.has_left(old), 8, "the replica to be the owner")
            break
        except wait.TimedOut:
            if is_last:
                raise
    cluster.wait_whole()


@fault(4, CLUSTER, lag_s=(0.0, 4.0), down_s=(0.0, 8.0))
def cluster_lose(chaos, lag_s, down_s):
    """SIGKILL of the owner, whose replica is lag_s behind; it returns later, as what it then is."""
    cluster = chaos.redis
    old = cluster.master
    replicas = cluster.replicas() if lag_s > 1 else []
    for replica in replicas:
        replica.pause()
    chaos.hold(lag_s if replicas else 0)
    old.kill()
    for replica in replicas:
        replica.resume()
    chaos.hold(down_s)
    old.start()
    cluster.wait_whole()


@fault(2, CLUSTER, asleep_s=(0.5, 8.0))
def cluster_sleep(chaos, asleep_s):
    """The owner is suspended, and wakes up as one: it takes writes until it is told."""
    chaos.redis.suspend_master(chaos.hold, asleep_s)


@fault(2, CLUSTER, down_s=(0.0, 5.0))
def cluster_restart(chaos, down_s):
    """SIGKILL of all nodes, which are then restarted."""
    for node in chaos.redis.nodes:
        node.kill()
    chaos.hold(down_s)
    for node in chaos.redis.nodes:
        node.start()
    chaos.redis.wait_whole()

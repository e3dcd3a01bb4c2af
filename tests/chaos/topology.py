"""What the instances count into: one Redis and a replica, Sentinels, or a cluster.

The three have the methods that a World calls. `master` is where the counts are at this moment.
"""

import itertools
import os

import redis

import redis_cluster
import redis_pair
import sentinels
import wait


class _Topology:
    """What is the same for Sentinels and a cluster, which have no faults of disk or backups."""

    def back_up(self):
        """Makes no backup."""

    def forget_backups(self):
        """There are none."""

    def free_disk(self):
        """No disk is ever full."""

    def heal(self):
        """Waits until everything is in order."""
        self.open_ways()
        self.wait_whole()

    def open_ways(self):
        """Opens every way."""

    def suspend_master(self, hold, seconds):
        """Suspends the master while hold(seconds) runs, and waits until everything is in order."""
        old = self.master
        old.pause()
        try:
            hold(seconds)
        finally:
            old.resume()
        self.wait_whole()

    def expect_faults(self, is_expecting):
        """While no faults come, a busy machine must not be taken for one."""

    def reader(self):
        """Returns a client of a server whose counts must be consistent."""
        return self.client()

    def close(self):
        """Kills everything."""
        self.kill()


class Watched(_Topology, sentinels.Sentinels):
    """A master with two replicas, and three Sentinels.

    Servers and Sentinels reach each other by a route for each, from an address for each. Each
    instance reaches all of them by routes of its own, by which the Sentinels name the servers to
    it. So any two of them can be separated.
    """

    def __init__(self, folder, proxy, instances=4):
        self._proxy, self._views = proxy, []
        self._turn = itertools.count()
        super().__init__(os.path.join(folder, "watched"), advertise=proxy.add, append_only=True,
                         repl_timeout_s=60)
        for _ in range(instances):
            ways = {server: proxy.add(server.port) for server in self.servers}
            renames = {server.advertised_port: way for server, way in ways.items()}
            ways.update({one: proxy.add(one.port, renames) for one in self.sentinels})
            self._views.append(ways)

    def url(self, number):
        """The redis.url for instance number n."""
        return self.url_of([self._views[number][one] for one in self.sentinels])

    def serve(self, prefix):
        """Any prefix will do."""

    def reader(self):
        """Returns a client of each server in turn: a replica's counts are right for its offsets."""
        return self.servers[next(self._turn) % len(self.servers)].client()

    def separate(self, one, sources):
        """Holds back everything between a server or Sentinel and those others."""
        self._proxy.set(one.advertised_port, "hole", [other.source for other in sources])

    def separate_instances(self, one, numbers):
        """Holds back everything between a server or Sentinel and these instances."""
        for number in numbers:
            self._proxy.set(self._views[number][one], "hole")

    def expect_faults(self, is_expecting):
        """Makes the Sentinels patient, or as they were."""
        for one in self.sentinels:
            one.be_patient(1000 if is_expecting else 60000)

    def drop(self, one):
        """Loses what is held back on its way from or to a server or Sentinel."""
        self._proxy.set(one.advertised_port, "cut")

    def open_ways(self):
        """Opens every way again."""
        for one in self.servers + self.sentinels:
            self._proxy.set(one.advertised_port, "pass")
            for ways in self._views:
                self._proxy.set(ways[one], "pass")

    def all_servers(self):
        """All that may hold the counts."""
        return self.servers

    def others(self, server):
        """The other two servers."""
        return [other for other in self.servers if other is not server]

    def revive(self):
        """Starts what is down."""
        for one in self.servers + self.sentinels:
            if not one.is_running():
                one.start()

    def wait_whole(self):
        """Waits until all Sentinels agree, and both replicas follow the master."""
        wait.until(self._is_whole, 90, self._state, every=0.2)

    def _is_whole(self):
        try:
            ports = {one.master_port() for one in self.sentinels}
            if len(ports) != 1 or not all(one.knows(2, 2) for one in self.sentinels):
                return False
            master = self.server_at(ports.pop())
            with master.client() as client:
                found = client.info("replication")
                states = [found.get(f"slave{n}", {}).get("state") for n in range(2)]
                if found["role"] != "master" or states != ["online", "online"]:
                    return False
            return all(_follows(other) for other in self.others(master))
        except redis.exceptions.RedisError:
            return False

    def _state(self):
        try:
            return "the Sentinels to agree, and replicas to follow: " + str(
                [one.call("SENTINEL", "MASTER", sentinels.NAME) for one in self.sentinels])
        except redis.exceptions.RedisError as error:
            return f"the Sentinels to agree: {error}"


def _follows(server):
    with server.client() as client:
        found = client.info("replication")
    return found["role"] == "slave" and found["master_link_status"] == "up"


class Slotted(_Topology, redis_cluster.RedisCluster):
    """A Redis Cluster of three masters and three replicas."""

    def __init__(self, folder, _):
        super().__init__(os.path.join(folder, "cluster"), "{chaos-1}")

    def url(self, _):
        """The redis.url for any instance."""
        return super().url()

    def all_servers(self):
        """All that may hold the counts."""
        return self.nodes

    def expect_faults(self, is_expecting):
        """Makes the nodes patient, or as they were."""
        for node in self.nodes:
            self.call(node, "CONFIG", "SET", "cluster-node-timeout",
                      1500 if is_expecting else 60000)

    def revive(self):
        """Starts what is down."""
        for node in self.nodes:
            if not node.is_running():
                node.start()

    def wait_whole(self):
        """Waits until the cluster is in order."""
        self.wait_ok()


#: Name -> class.
TABLE = {"single": redis_pair.RedisPair, "sentinel": Watched, "cluster": Slotted}

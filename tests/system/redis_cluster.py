"""A Redis Cluster of three masters and three replicas on loopback ports."""

import os

import redis

import process
import redis_server
import wait

SLOTS = 16384


def slot_of(prefix):
    """The slot of a prefix with braces, computed by redis-py."""
    return redis.crc.key_slot(prefix.encode())


class RedisCluster:
    """Stands for the master of one prefix where a test reads Redis."""

    def __init__(self, folder, prefix, extra=(), masters=3, replicas=3):
        self.slot = slot_of(prefix)
        self.nodes = []
        for i in range(masters + replicas):
            server = redis_server.RedisServer(os.path.join(folder, f"node-{i}"), append_only=True)
            server.extra = ["--cluster-enabled", "yes", "--cluster-port",
                            str(process.free_port()), "--cluster-node-timeout", "1500",
                            "--cluster-config-file", "nodes.conf", "--repl-diskless-sync-delay",
                            "0", "--cluster-allow-replica-migration", "no", *extra]
            server.start()
            self.nodes.append(server)
        self._join(masters)

    def _join(self, masters):
        first = self.nodes[0]
        for i, node in enumerate(self.nodes):
            bus = node.extra[node.extra.index("--cluster-port") + 1]
            self.call(node, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            if node is not first:
                self.call(first, "CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        share = SLOTS // masters
        for i in range(masters):
            last = SLOTS - 1 if i == masters - 1 else (i + 1) * share - 1
            self.call(self.nodes[i], "CLUSTER", "ADDSLOTSRANGE", i * share, last)
        wait.until(lambda: all(self.knows(node) == len(self.nodes) for node in self.nodes), 30,
                   "the nodes to meet")
        for i, node in enumerate(self.nodes[masters:]):
            self.call(node, "CLUSTER", "REPLICATE", self.id_of(self.nodes[i % masters]))
        self.wait_ok()

    def call(self, node, *words, seconds=10):
        """Sends a command to one node; returns the reply undecoded."""
        with redis.Redis(host="127.0.0.1", port=node.port, socket_timeout=seconds, protocol=2,
                         retry=None) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def id_of(self, node):
        """The node's id."""
        return self.call(node, "CLUSTER", "MYID").decode()

    def knows(self, node):
        """How many nodes a node knows."""
        return len(self.call(node, "CLUSTER", "NODES").splitlines())

    def wait_ok(self):
        """Waits until each node says that the cluster is in order, with all replicas in step."""
        def is_ok(node):
            try:
                state = self.call(node, "CLUSTER", "INFO")
                lines = self.call(node, "INFO", "replication")
            except redis.exceptions.RedisError:
                return False
            return b"cluster_state:ok" in state and b"master_link_status:down" not in lines

        wait.until(lambda: all(is_ok(node) for node in self.nodes) and self.replicas(), 60,
                   "the cluster to be in order")

    def serve(self, prefix):
        """Makes the slot of another prefix ours."""
        self.slot = slot_of(prefix)

    def _claim(self, node):
        """The configuration epoch with which a node says that the slot is its own, or -1."""
        lines = self.call(node, "CLUSTER", "NODES", seconds=3).decode().splitlines()
        own = next(line for line in lines if "myself" in line).split()
        if "master" not in own[2] or "fail" in own[2]:
            return -1
        for span in own[8:]:
            first, _, last = span.partition("-")
            if first.isdigit() and int(first) <= self.slot <= int(last or first):
                return int(own[6])
        return -1

    def node_at(self, port):
        """Returns the node of a port."""
        return next(node for node in self.nodes if node.port == port)

    @property
    def master(self):
        """The owner of our slot: of the nodes that claim it, the one with the highest epoch."""
        claims = []
        for number, node in enumerate(self.nodes):
            try:
                claims.append((self._claim(node), number))
            except redis.exceptions.RedisError:
                continue
        epoch, number = max(claims, default=(-1, 0))
        if epoch < 0:
            raise redis.exceptions.ConnectionError("no node that responds owns the slot")
        return self.nodes[number]

    def has_left(self, node):
        """Whether another node owns the slot now; for a while after a fault, none may."""
        try:
            return self.master is not node
        except redis.exceptions.RedisError:
            return False

    def replicas(self):
        """The replicas of the owner, as it knows them; none while the slot has no owner."""
        try:
            slots = self.call(self.master, "CLUSTER", "SLOTS")
        except redis.exceptions.RedisError:
            return []
        return [self.node_at(found[1]) for entry in slots if entry[0] <= self.slot <= entry[1]
                for found in entry[3:]]

    def client(self):
        """Returns a client of the owner."""
        return self.master.client()

    def url(self):
        """The redis.url for rollcall, which names two of the nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{n.port}" for n in self.nodes[1:3])

    def masters(self):
        """The nodes that are masters."""
        return [node for node in self.nodes
                if self.call(node, "ROLE")[0] == b"master"]

    def move_slot(self, source, target, pause=lambda: None):
        """Moves our slot key by key; pause() is called between keys."""
        source_id, target_id = self.id_of(source), self.id_of(target)
        self.call(target, "CLUSTER", "SETSLOT", self.slot, "IMPORTING", source_id)
        self.call(source, "CLUSTER", "SETSLOT", self.slot, "MIGRATING", target_id)
        while True:
            keys = self.call(source, "CLUSTER", "GETKEYSINSLOT", self.slot, 2)
            if not keys:
                break
            self.call(source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
            pause()
        for node in [target, source] + [one for one in self.masters()
                                        if one not in (source, target)]:
            self.call(node, "CLUSTER", "SETSLOT", self.slot, "NODE", target_id)

    def kill(self):
        """Kills everything."""
        for node in self.nodes:
            node.kill()

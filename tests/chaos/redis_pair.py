"""Two Redis servers, a master and its replica, behind a route of the proxy."""

import glob
import os
import shutil
import subprocess

import redis

import process
import redis_server
import wait

_EXTRA = ["--enable-debug-command", "local", "--busy-reply-threshold", "100",
          "--repl-diskless-sync-delay", "0", "--repl-diskless-load", "on-empty-db",
          "--replica-read-only", "yes", "--auto-aof-rewrite-min-size", "16mb"]
_TMPFS_MB = 64


class Node(redis_server.RedisServer):
    """One of the two, with an append-only file unless it starts from an RDB or empty."""

    def __init__(self, folder):
        super().__init__(folder, append_only=True, extra=_EXTRA)

    def start(self):
        """Starts it, and has its append-only file written anew.

        A file that was cut within a MULTI is loaded rightly by Redis (7.0 at least; see
        valkey/pull/4342), but the half transaction stays in it and is executed at the next start.
        """
        try:
            super().start()
        except RuntimeError as error:
            if "Bad file format" not in str(error):
                raise
            manifest = glob.glob(os.path.join(self.folder, "appendonlydir", "*.manifest"))[0]
            subprocess.run(["redis-check-aof", "--fix", manifest], input=b"y\n",
                           capture_output=True, timeout=60, check=True)
            super().start()
        if self.append_only:
            self._rewrite_append_only_file()
        return self

    def _rewrite_append_only_file(self):
        with self.client() as client:
            before = client.info("persistence")["aof_rewrites"]
            client.bgrewriteaof()

            def is_done():
                info = client.info("persistence")
                return info["aof_rewrites"] > before and not info["aof_rewrite_in_progress"]

            wait.until(is_done, 30, "append-only file written anew")

    def start_from(self, rdb):
        """Starts (it must be down) from an RDB, or empty where that is None; then appends."""
        shutil.rmtree(os.path.join(self.folder, "appendonlydir"), ignore_errors=True)
        dump = os.path.join(self.folder, "dump.rdb")
        if os.path.exists(dump):
            os.remove(dump)
        if rdb:
            shutil.copyfile(rdb, dump)
        self.append_only = False
        try:
            self.start()
        finally:
            self.append_only = True
        with self.client() as client:
            client.config_set("appendonly", "yes")

    def cut_append_only_file(self, share):
        """Cuts off the end of the append-only file (the server is down); returns the bytes lost."""
        files = glob.glob(os.path.join(self.folder, "appendonlydir", "*.incr.aof"))
        if not files:
            return 0
        last = max(files, key=os.path.getmtime)
        size = os.path.getsize(last)
        os.truncate(last, int(size * (1 - share)))
        return size - int(size * (1 - share))


class RedisPair:
    """The master, which rollcall reaches through the proxy, and its replica."""

    def __init__(self, folder, proxy):
        self._backups = os.path.join(folder, "backups")
        os.makedirs(self._backups)
        self._backup_serial = 0
        self.nodes = [self._make_node(folder, name) for name in ("redis-a", "redis-b")]
        self.has_tmpfs = all(self._mount(node) for node in self.nodes)
        self._proxy = proxy
        for node in self.nodes:
            node.start()
        self.master = self.nodes[0]
        self.port = proxy.add(self.master.port)
        self.backups = []
        self.follow()

    @staticmethod
    def _make_node(folder, name):
        return Node(os.path.join(folder, name))

    @staticmethod
    def _mount(node):
        """A small file system of the node's own, which can be filled; only root may."""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_TMPFS_MB}m", "none",
                               node.folder], capture_output=True)
        return done.returncode == 0

    @property
    def replica(self):
        """The other one."""
        return self.nodes[1] if self.master is self.nodes[0] else self.nodes[0]

    def client(self):
        """A client of the master, past the proxy."""
        return self.master.client()

    def url(self):
        """The address for rollcall."""
        return f"redis://127.0.0.1:{self.port}/0"

    def follow(self):
        """The replica follows the master (again)."""
        with self.replica.client() as client:
            client.replicaof("127.0.0.1", self.master.port)

    def detach(self):
        """The replica stays what it is now, and could become master."""
        with self.replica.client() as client:
            client.replicaof("NO", "ONE")

    def is_in_step(self):
        """Whether the replica's link to the master is up."""
        with self.replica.client() as client:
            return client.info("replication").get("master_link_status") == "up"

    def fail_over(self):
        """The master dies, the replica takes its place; the dead one comes back by `revive`."""
        dead = self.master
        dead.kill()
        self.master = self.replica
        with self.client() as client:
            client.replicaof("NO", "ONE")
        self._proxy.retarget(self.port, self.master.port)

    def revive(self):
        """Starts what is down, and lets the replica follow."""
        for node in self.nodes:
            if not node.is_running():
                node.start()
        self.follow()

    def back_up(self):
        """Keeps an RDB of now, beside the oldest and a few recent ones."""
        try:
            copy = self.master.save_copy()
        except redis.exceptions.RedisError:
            return  # a fault is on
        self._backup_serial += 1
        path = os.path.join(self._backups, f"{self._backup_serial}.rdb")
        shutil.move(copy, path)
        self.backups.append(path)
        if len(self.backups) > 6:
            os.remove(self.backups.pop(1))

    def forget_backups(self):
        """A new round begins, of which the old backups know nothing."""
        for path in self.backups:
            os.remove(path)
        self.backups = []

    def fill_disk(self):
        """Leaves no room on the master's file system."""
        with open(os.path.join(self.master.folder, "filler"), "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 16))
            except OSError:
                pass  # full: that is the point

    def free_disk(self):
        """Gives the room back."""
        for node in self.nodes:
            path = os.path.join(node.folder, "filler")
            if os.path.exists(path):
                os.remove(path)

    def heal(self):
        """Whatever state faults left them in: both run, the master takes writes."""
        wait.until(lambda: self._is_writable(), 30, "Redis takes writes", every=0.1)

    def _is_writable(self):
        try:
            with self.client() as client:
                return client.set("chaos:probe", 1) and client.delete("chaos:probe")
        except redis.exceptions.RedisError:
            return False

    def close(self):
        """Ends both, and gives their file systems back."""
        for node in self.nodes:
            node.kill()
            if self.has_tmpfs:
                subprocess.run(["umount", node.folder], check=False)

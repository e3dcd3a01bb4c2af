"""A Redis master and its replica, behind a route of the proxy."""

import glob
import os
import shutil
import subprocess
import threading

import redis

import process
import redis_server
import wait

_EXTRA = ["--enable-debug-command", "local", "--busy-reply-threshold", "2000",
          "--repl-diskless-sync-delay", "0", "--repl-diskless-load", "on-empty-db",
          "--replica-read-only", "yes", "--auto-aof-rewrite-min-size", "16mb"]
_TMPFS_MB = 64


class Node(redis_server.RedisServer):
    """One of the two servers, with an append-only file unless it starts from an RDB or empty."""

    def __init__(self, folder):
        super().__init__(folder, append_only=True, extra=_EXTRA)

    def start(self):
        """Starts the server and makes it rewrite its append-only file.

        Redis (at least 7.0, see valkey/pull/4342) loads a file that was truncated within a MULTI
        correctly, but leaves the half transaction in it and executes it at the next start.
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
            self.rewrite_append_only_file()
        return self

    def rewrite_append_only_file(self):
        """Rewrites the file: what was appended before cannot be cut off any more."""
        with self.client() as client:
            before = client.info("persistence")["aof_rewrites"]
            client.bgrewriteaof()

            def is_done():
                info = client.info("persistence")
                return info["aof_rewrites"] > before and not info["aof_rewrite_in_progress"]

            wait.until(is_done, 30, "the append-only file to be rewritten")

    def start_from(self, rdb):
        """Starts a stopped server from an RDB, or empty if rdb is None; then enables appending."""
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
        """Truncates the append-only file of a stopped server; returns the bytes cut off."""
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
        self._saving = threading.Lock()
        self.follow()

    @staticmethod
    def _make_node(folder, name):
        return Node(os.path.join(folder, name))

    @staticmethod
    def _mount(node):
        """Mounts a small file system for the node, which can be filled; needs root."""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_TMPFS_MB}m", "none",
                               node.folder], capture_output=True)
        return done.returncode == 0

    @property
    def replica(self):
        """The node that is not the master."""
        return self.nodes[1] if self.master is self.nodes[0] else self.nodes[0]

    def client(self):
        """Returns a client of the master that bypasses the proxy."""
        return self.master.client()

    def expect_faults(self, is_expecting):
        """Nobody watches the master."""

    def serve(self, prefix):
        """Any prefix will do."""

    def reader(self):
        """Returns a client of a server whose counts must be consistent."""
        return self.client()

    def url(self, _):
        """The redis.url for any instance."""
        return f"redis://127.0.0.1:{self.port}/0"

    def follow(self):
        """Makes the replica follow the master."""
        with self.replica.client() as client:
            client.replicaof("127.0.0.1", self.master.port)

    def detach(self):
        """Stops replication, so that the replica keeps its current state."""
        with self.replica.client() as client:
            client.replicaof("NO", "ONE")

    def is_in_step(self):
        """Whether the replica's link to the master is up."""
        with self.replica.client() as client:
            return client.info("replication").get("master_link_status") == "up"

    def fail_over(self):
        """Kills the master and promotes the replica; revive() restarts the killed one."""
        dead = self.master
        dead.kill()
        self.master = self.replica
        with self.client() as client:
            client.replicaof("NO", "ONE")
        self._proxy.retarget(self.port, self.master.port)

    def revive(self):
        """Starts the servers that are down and makes the replica follow the master."""
        for node in self.nodes:
            if not node.is_running():
                node.start()
        self.follow()

    def unsaved(self):
        """Returns a context in which no backup is made."""
        return self._saving

    def back_up(self):
        """Saves an RDB; keeps the oldest one and a few recent ones."""
        if not self._saving.acquire(blocking=False):
            return
        try:
            copy = self.master.save_copy()
        except redis.exceptions.RedisError:
            return  # a fault is active
        finally:
            self._saving.release()
        self._backup_serial += 1
        path = os.path.join(self._backups, f"{self._backup_serial}.rdb")
        shutil.move(copy, path)
        self.backups.append(path)
        if len(self.backups) > 6:
            os.remove(self.backups.pop(1))

    def forget_backups(self):
        """Deletes the backups, which hold nothing of the round that begins."""
        for path in self.backups:
            os.remove(path)
        self.backups = []

    def settle(self):
        """Makes sure that nothing older than the present state can come back."""
        wait.until(self.is_in_step, 30, "the replica to follow")
        with self.client() as client:
            client.wait(1, 5000)
        for node in self.nodes:
            node.rewrite_append_only_file()
        self.forget_backups()

    def fill_disk(self):
        """Fills the master's file system."""
        with open(os.path.join(self.master.folder, "filler"), "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 16))
            except OSError:
                pass  # full, as intended

    def free_disk(self):
        """Frees the space again."""
        for node in self.nodes:
            path = os.path.join(node.folder, "filler")
            if os.path.exists(path):
                os.remove(path)

    def heal(self):
        """Waits until the master accepts writes."""
        wait.until(lambda: self._is_writable(), 30, "Redis to accept writes", every=0.1)

    def _is_writable(self):
        try:
            with self.client() as client:
                return client.set("chaos:probe", 1) and client.delete("chaos:probe")
        except redis.exceptions.RedisError:
            return False

    def close(self):
        """Kills both servers and unmounts their file systems."""
        for node in self.nodes:
            node.kill()
            if self.has_tmpfs:
                subprocess.run(["umount", node.folder], check=False)

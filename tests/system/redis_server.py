"""A private Redis server in a folder of its own, on a free loopback port."""

import glob
import os
import shutil
import signal

import redis

import process
import wait


class RedisServer:
    """One server. Its folder and its port stay the same over stop, kill and start."""

    def __init__(self, folder, password=None, append_only=False, extra=()):
        self.folder = folder
        self.port = process.free_port()
        self.password = password
        self.append_only = append_only
        self.extra = list(extra)  # arguments of redis-server
        self.log_path = os.path.join(folder, "redis.log")
        self._process = None
        os.makedirs(folder, exist_ok=True)

    def url(self, password=None):
        """The address as rollcall takes it, with the server's password or another one."""
        secret = password or self.password
        login = f":{secret}@" if secret else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def client(self):
        """A client that keeps bytes as bytes."""
        return redis.Redis(port=self.port, host="127.0.0.1", password=self.password,
                           socket_timeout=20)

    def start(self):
        """Starts the server with what its folder holds, and waits until it answers."""
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                   "--dir", self.folder, "--save", "", "--dbfilename", "dump.rdb",
                   "--appendonly", "yes" if self.append_only else "no",
                   "--appendfsync", "everysec", *self.extra]
        if self.password:
            command += ["--requirepass", self.password]
        self._process = process.spawn(command, self.log_path)
        wait.until(self._answers, 20, lambda: f"Redis answers: {process.tail(self.log_path)}")
        return self

    def _answers(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"Redis ended: {process.tail(self.log_path)}")
        try:
            with self.client() as client:
                return client.ping()
        except redis.exceptions.RedisError:
            return False

    def is_running(self):
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self):
        """SIGTERM, without saving anything that the configuration does not save."""
        process.terminate(self._process, 20)

    def kill(self):
        """kill -9."""
        process.kill(self._process)

    def pause(self):
        """SIGSTOP: connections stay open, nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def cut_file_in_transaction(self):
        """Cuts the append-only file of a server that is down before its last EXEC."""
        path = glob.glob(os.path.join(self.folder, "appendonlydir", "*.incr.aof"))[-1]
        with open(path, "rb") as file:
            end = file.read().rindex(b"*1\r\n$4\r\nEXEC\r\n")
        os.truncate(path, end)

    def save_copy(self):
        """Saves an RDB now and returns the path of a copy of it."""
        with self.client() as client:
            client.save()
        copy = os.path.join(self.folder, "backup.rdb")
        shutil.copyfile(os.path.join(self.folder, "dump.rdb"), copy)
        return copy

    def restore(self, copy):
        """kill -9, then starts again from an RDB that save_copy made earlier."""
        assert not self.append_only, "an append-only file would win over the RDB"
        self.kill()
        shutil.copyfile(copy, os.path.join(self.folder, "dump.rdb"))
        self.start()

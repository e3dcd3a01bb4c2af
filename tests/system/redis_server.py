"""A private Redis server in its own folder, on a free loopback port."""

import glob
import os
import shutil
import signal

import redis

import process
import wait

#: The server program of all tests: Redis or Valkey.
PROGRAM = os.environ.get("RC_REDIS") or "redis-server"


class RedisServer:
    """One server. It keeps its folder and its port over stop, kill and start."""

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
        """Returns the redis.url for rollcall, with the server's password or another one."""
        secret = password or self.password
        login = f":{secret}@" if secret else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def client(self):
        """Returns a client that does not decode replies, and tries once."""
        return redis.Redis(port=self.port, host="127.0.0.1", password=self.password,
                           socket_timeout=20, retry=None)

    def start(self):
        """Starts the server with the data in its folder, and waits until it responds."""
        command = [PROGRAM, "--port", str(self.port), "--bind", "127.0.0.1",
                   "--dir", self.folder, "--save", "", "--dbfilename", "dump.rdb",
                   "--appendonly", "yes" if self.append_only else "no",
                   "--appendfsync", "everysec", *self.extra]
        if self.password:
            command += ["--requirepass", self.password]
        self._process = process.spawn(command, self.log_path)
        wait.until(self._answers, 20, lambda: f"Redis to respond: {process.tail(self.log_path)}")
        return self

    def _answers(self):
        if self._process.poll() is not None:
            raise RuntimeError(f"Redis exited: {process.tail(self.log_path)}")
        try:
            with self.client() as client:
                return client.ping()
        except redis.exceptions.RedisError:
            return False

    def is_running(self):
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def stop(self):
        """Stops the server with SIGTERM, without an extra save."""
        process.terminate(self._process, 20)

    def kill(self):
        """Kills the server with SIGKILL."""
        process.kill(self._process)

    def pause(self):
        """Suspends the server with SIGSTOP: connections stay open, but get no replies."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        """Resumes the server with SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def cut_file_in_transaction(self, folder=None):
        """Truncates the append-only file of a stopped server, or its copy, before its last EXEC."""
        folder = folder or os.path.join(self.folder, "appendonlydir")
        path = glob.glob(os.path.join(folder, "*.incr.aof"))[-1]
        with open(path, "rb") as file:
            end = file.read().rindex(b"*1\r\n$4\r\nEXEC\r\n")
        os.truncate(path, end)

    def save_copy(self):
        """Saves an RDB and returns the path of a copy of it."""
        with self.client() as client:
            client.save()
        copy = os.path.join(self.folder, "backup.rdb")
        shutil.copyfile(os.path.join(self.folder, "dump.rdb"), copy)
        return copy

    def restore(self, copy):
        """Kills the server with SIGKILL and restarts it from an RDB that save_copy made."""
        assert not self.append_only, "Redis would load the append-only file instead of the RDB"
        self.kill()
        shutil.copyfile(copy, os.path.join(self.folder, "dump.rdb"))
        self.start()

"""A Redis master, its replicas and the Sentinels that watch them, all on loopback ports."""

import os

import redis

import process
import redis_server
import wait

NAME = "mymaster"


class Sentinel:
    """One Sentinel. It keeps its folder, its port and what it has learned over kill and start.

    advertise(port) returns the port by which the others reach it; they see its connections come
    from source.
    """

    def __init__(self, folder, master, quorum, down_after_ms, password, advertise, source):
        self.port = process.free_port()
        self.advertised_port, self.source = advertise(self.port), source
        self.password = password
        self.log_path = os.path.join(folder, "sentinel.log")
        self._config = os.path.join(folder, "sentinel.conf")
        self._process = None
        os.makedirs(folder)
        self._initial = (f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
                         f"bind-source-addr {source}\nsentinel announce-ip 127.0.0.1\n"
                         f"sentinel announce-port {self.advertised_port}\n"
                         f"sentinel monitor {NAME} 127.0.0.1 {master.advertised_port} {quorum}\n"
                         f"sentinel down-after-milliseconds {NAME} {down_after_ms}\n"
                         f"sentinel failover-timeout {NAME} 4000\n"
                         f"sentinel parallel-syncs {NAME} 2\n")
        if master.password:
            self._initial += f"sentinel auth-pass {NAME} {master.password}\n"
        if password:
            self._initial += f"requirepass {password}\nsentinel sentinel-pass {password}\n"
        self.forget()

    def forget(self):
        """Makes it start next time as if it had never run: with the first master, at epoch 0."""
        with open(self._config, "w") as config:
            config.write(self._initial)

    def start(self):
        """Starts it, and waits until it responds."""
        self._process = process.spawn([redis_server.PROGRAM, self._config, "--sentinel"],
                                      self.log_path)
        wait.until(self.answers, 20, lambda: f"a Sentinel: {process.tail(self.log_path)}")
        self.call("SENTINEL", "DEBUG", "info-period", 1000, "publish-period", 500)  # from 10 s, 2 s

    def call(self, *words):
        """Sends SENTINEL and the words; returns the reply undecoded."""
        with redis.Redis(host="127.0.0.1", port=self.port, password=self.password,
                         socket_timeout=5, protocol=2, retry=None) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    def answers(self):
        """Whether it responds."""
        try:
            return self.call("PING")
        except redis.exceptions.RedisError:
            return False

    def master_port(self):
        """The port of the master as it knows it."""
        return int(self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)[1])

    def opinion(self):
        """Returns (configuration epoch, port of the master), as it knows them."""
        found = self.call("SENTINEL", "MASTER", NAME)
        named = dict(zip(found[::2], found[1::2]))
        return int(named[b"config-epoch"]), int(named[b"port"])

    def knows(self, sentinels, replicas):
        """Whether it has found so many other Sentinels and replicas, all of them up."""
        def up(words):
            states = [dict(zip(found[::2], found[1::2]))[b"flags"] for found in self.call(*words)]
            return sum(b"down" not in flags and b"disconnected" not in flags for flags in states)

        return up(["SENTINEL", "SENTINELS", NAME]) >= sentinels and \
            up(["SENTINEL", "REPLICAS", NAME]) >= replicas

    def be_patient(self, down_after_ms):
        """Changes how long a server may be silent before it counts as down."""
        self.call("SENTINEL", "SET", NAME, "down-after-milliseconds", down_after_ms)

    def is_running(self):
        """Whether the process is running."""
        return self._process is not None and self._process.poll() is None

    def kill(self):
        """Kills it with SIGKILL."""
        process.kill(self._process)


class Sentinels:
    """Three servers and three Sentinels. Stands for the present master where a test reads Redis.

    All of them reach each other by advertise(port), from an address for each. A server that starts
    again takes itself for a master, until the Sentinels correct it. A server that is silent for
    down_after_ms counts as down; with a second, a busy machine makes failovers of its own.
    """

    def __init__(self, folder, down_after_ms=3000, password=None, sentinel_password=None, count=3,
                 advertise=lambda port: port, append_only=False, repl_timeout_s=5):
        self.password, self.sentinel_password = password, sentinel_password
        self.servers = []
        for i in range(3):
            extra = ["--replica-priority", str(100 if i == 0 else 10), "--repl-diskless-sync-delay",
                     "0", "--repl-timeout", str(repl_timeout_s)]
            if password:
                extra += ["--masterauth", password]
            server = redis_server.RedisServer(os.path.join(folder, f"redis-{i}"), password,
                                              append_only)
            server.advertised_port = advertise(server.port)
            server.source = f"127.0.1.{i + 1}"
            server.extra = [*extra, "--bind-source-addr", server.source, "--replica-announce-ip",
                            "127.0.0.1", "--replica-announce-port", str(server.advertised_port),
                            "--protected-mode", "no"]  # Redis 7 takes 127.0.2.1 for a stranger
            server.start()
            if i > 0:
                with server.client() as client:
                    client.replicaof("127.0.0.1", self.servers[0].advertised_port)
            self.servers.append(server)
        self.sentinels = [Sentinel(os.path.join(folder, f"sentinel-{i}"), self.servers[0],
                                   count // 2 + 1, down_after_ms, sentinel_password, advertise,
                                   f"127.0.2.{i + 1}")
                          for i in range(count)]
        for sentinel in self.sentinels:
            sentinel.start()
        self.wait_complete()

    def url(self, user=""):
        """Returns the redis.url for rollcall."""
        login = f"{user}:{self.password}@" if self.password else ""
        return self.url_of([sentinel.port for sentinel in self.sentinels], login)

    @staticmethod
    def url_of(ports, login=""):
        """Returns the redis.url for Sentinels on these ports."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"redis+sentinel://{login}{hosts}/{NAME}"

    def wait_complete(self, sentinels=None):
        """Waits until each Sentinel knows the others and all replicas."""
        asked = sentinels or self.sentinels
        wait.until(lambda: all(one.knows(len(asked) - 1, 2) for one in asked), 30,
                   "the Sentinels to know everything")

    def server_at(self, port):
        """Returns the server of an advertised port."""
        return next(server for server in self.servers if server.advertised_port == port)

    @property
    def master(self):
        """The master, as the Sentinel knows it that has the newest configuration."""
        known = []
        for sentinel in self.sentinels:
            try:
                known.append(sentinel.opinion())
            except redis.exceptions.RedisError:
                continue
        if not known:
            raise redis.exceptions.ConnectionError("no Sentinel responds")
        return self.server_at(max(known)[1])

    def client(self):
        """Returns a client of the master."""
        return self.master.client()

    def wait_promoted(self, old, seconds=30):
        """Waits until another server than `old` is the master; returns it."""
        wait.until(lambda: self.master is not old, seconds, "a promotion")
        return self.master

    def kill(self):
        """Kills everything."""
        for one in self.sentinels + self.servers:
            one.kill()

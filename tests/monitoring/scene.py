"""What a fault of `./dev monitoring` acts on: logins, two instances, Redis, a real Prometheus."""

import json
import os
import threading
import time

import confluent_kafka

import monitoring
import process
import redis_server
import rollcall
import wait

FACTOR = 30
PARTITIONS = 4
RATE = 200
SETTLE_S = 10
CLEAR_S = 480  # a fault of more than two minutes lasts in the windows of 1 d and 2 h for six
OPTIONS = {"producer.transaction.timeout.ms": 3000, "consumer.session.timeout.ms": 2000,
           "consumer.heartbeat.interval.ms": 300, "redis.checkpoint_ms": 200,
           "redis.timeout_ms": 1000, "instance.shards": 1, "anomaly.threshold": 1000000,
           "count.locales.by": "locale", "count.users.unique": "user_id"}


class Feed:
    """Logins at a steady rate, with the present as their Kafka timestamp; 1 % is not valid."""

    def __init__(self, address, topic):
        self._topic = topic
        self._producer = confluent_kafka.Producer({
            "bootstrap.servers": address, "linger.ms": 5, "log_level": 0,
            "reconnect.backoff.max.ms": 500, "message.timeout.ms": 600000})
        self._stop = threading.Event()
        self.rejected_percent = 1
        self.is_silent = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        started, sent = time.monotonic(), 0
        while not self._stop.is_set():
            due = int((time.monotonic() - started) * RATE)
            for n in range(due if self.is_silent else sent, due):
                is_bad = n % 100 < self.rejected_percent
                self.send(b"{" if is_bad else self.login(int(time.time()), n), n)
            sent = due
            self._producer.poll(0)
            self._stop.wait(0.02)

    @staticmethod
    def login(second, n):
        """One valid login."""
        return json.dumps({"user_id": f"u{n}", "locale": "PA", "device_type": "android",
                           "timestamp": second}).encode()

    def send(self, value, n):
        """Sends one record."""
        self._producer.produce(self._topic, value, partition=n % PARTITIONS,
                               timestamp=int(time.time() * 1000))

    def burst(self, count):
        """Sends logins that are all of one minute."""
        for n in range(count):
            self.send(self.login(int(time.time()) - 86400, n), n)
            if n % 1000 == 0:
                self._producer.poll(0.01)

    def close(self):
        """Stops."""
        self._stop.set()
        self._thread.join()
        self._producer.purge()


class World:
    """What a fault acts on. Where `week` is given, the rules look back that far for a week ago."""

    _serial = 0

    def __init__(self, folder, broker, options=None, factor=FACTOR, scrape="1s", week="1w"):
        World._serial += 1
        name = f"live-{World._serial}"
        self.folder = os.path.join(folder, name)
        os.makedirs(self.folder)
        self.broker = broker
        self.topic = f"{name}-in"
        broker.create_topic(self.topic, PARTITIONS)
        self.redis = redis_server.RedisServer(os.path.join(self.folder, "redis")).start()
        self.group = name
        self.secret = os.path.join(self.folder, "redis-url")
        with open(self.secret, "w", encoding="utf-8") as file:
            file.write(self.redis.url())
        self.options = {
            "kafka.bootstrap.servers": broker.address, "consumer.group.id": name,
            "input.topic": self.topic, "output.topic": f"{name}-out",
            "output.rejected_topic": f"{name}-refused", "redis.url_file": self.secret,
            "redis.prefix": f"{{{name}}}", **OPTIONS, **(options or {})}
        self.ports = [process.free_port() for _ in range(3)]
        self.instances = {}
        self._starts = 0
        self.feed = Feed(broker.address, self.topic)
        for slot in (0, 1):
            self.start(slot)
        for slot in (0, 1):
            self.instances[slot].wait_ready()
        self.prometheus = monitoring.Prometheus(self.folder,
                                                self._configuration(factor, scrape, week))
        self.seen = set()
        self._fired = set()
        self._history = []

    def _configuration(self, factor, scrape, week):
        files = []
        for path in monitoring.RULES:
            files.append(os.path.join(self.folder, os.path.basename(path)))
            rules = monitoring.text_of(path)
            if factor > 1:
                rules = monitoring.scaled(rules.replace("offset 1w", f"offset {week}"), factor,
                                          at_least_s=1)
            with open(files[-1], "w", encoding="utf-8") as out:
                out.write(rules)
        targets = ", ".join(f"'127.0.0.1:{port}'" for port in self.ports[:2])
        return (f"global:\n  scrape_interval: {scrape}\n  scrape_timeout: 1s\n"
                f"  evaluation_interval: {scrape}\nrule_files: [{', '.join(files)}]\n"
                f"scrape_configs:\n  - job_name: rollcall\n    static_configs:\n"
                f"      - targets: [{targets}]\n")

    def start(self, slot, **options):
        """Starts the instance of a slot, in place of the one that was there."""
        self._starts += 1
        named = {"instance.id": f"live-{slot}", "http.listen": f"127.0.0.1:{self.ports[slot]}",
                 **options}
        instance = rollcall.Instance(self.folder, f"r{slot}-{self._starts}",
                                     {**self.options, **named})
        instance.http_port = self.ports[slot]
        self.instances[slot] = instance
        return instance

    def restart(self, slot):
        """Stops the instance of a slot with SIGTERM, and starts it again."""
        self.instances[slot].stop()
        self.start(slot).wait_ready()

    def firing(self):
        """The alerts that fire now; remembers them, and when each began and ended."""
        now = self.prometheus.firing()
        self.seen |= now
        for sign, names in (("+", now - self._fired), ("-", self._fired - now)):
            self._history += [f"  {time.strftime('%H:%M:%S')} {sign}{name}" for name in names]
        self._fired = now
        return now

    def settle(self):
        """Waits until Prometheus has found its targets, which takes 5 s: then no alert may fire."""
        wait.until(lambda: len(self.prometheus.query("up == 1")) == 2, 30, "both to be scraped")
        wait.until(lambda: not self.firing(), CLEAR_S, self.state, every=0.5)
        self.seen = set()
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            assert not self.firing(), f"before the fault:\n{self.state()}"
            time.sleep(0.5)

    def state(self):
        """What explains an alert that should not be, or that is missing."""
        alerts = self.prometheus.ask("alerts")["alerts"]
        return "\n".join(sorted(f"  {a['labels']['alertname']} {a['state']} {a['value']} "
                                f"{a['labels']}" for a in alerts) + self._history)

    def close(self):
        """Kills everything."""
        self.feed.close()
        for instance in self.instances.values():
            instance.kill()
        self.prometheus.kill()
        self.redis.kill()

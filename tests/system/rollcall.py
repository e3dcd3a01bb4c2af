"""Runs the program under test as a child process."""

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

import kafka
import process
import wait

_REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("RC_BINARY") or os.path.join(_REPO, "build", "rollcall")

_SANITIZER = re.compile(r"Sanitizer|runtime error:")
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def adapt_deadlines():
    """Extends the deadlines if the program is built with a sanitizer."""
    if "RC_TIME_FACTOR" in os.environ or not os.path.exists(BINARY):
        return
    with open(BINARY, "rb") as program:
        code = program.read()
    if b"__tsan_init" in code or b"__asan_init" in code:
        wait.factor = 4.0 if b"__tsan_init" in code else 2.0


def sanitizer_findings(text):
    """Returns the sanitizer reports in text, each with the lines that follow it."""
    lines = text.splitlines()
    return ["\n".join(lines[n:n + 30]) for n, line in enumerate(lines) if _SANITIZER.search(line)]


def execute(command, *arguments, options=None, env=None, timeout=60):
    """Runs `rollcall COMMAND ...` to completion; returns the CompletedProcess, outputs as text."""
    done = subprocess.run([BINARY, command, *flags(options or {}), *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="surrogateescape", timeout=timeout * wait.factor,
                          env={**os.environ, **(env or {})})
    found = sanitizer_findings(done.stderr)
    assert not found, found[0]
    return done


#: Options for the consumer protocol (KIP-848), in which the broker sets the two timeouts.
CONSUMER_PROTOCOL = {"consumer__group__protocol": "consumer",
                     "consumer__session__timeout__ms": None,
                     "consumer__heartbeat__interval__ms": None}
NO_CONSUMER_PROTOCOL = "the consumer protocol needs librdkafka 2.12 and Kafka 4.0"


def knows_consumer_protocol():
    """Whether the program's librdkafka supports the consumer protocol (generally available)."""
    version = re.search(r"librdkafka (\d+)\.(\d+)", execute("--version").stdout)
    return (int(version[1]), int(version[2])) >= (2, 12)


def has_consumer_protocol():
    """Whether the program and the broker support the consumer protocol."""
    return kafka.version() >= (4, 0) and knows_consumer_protocol()


def flags(options):
    """Turns {"section.key": value} into -X flags; skips None."""
    return [part for name, value in options.items()
            if value is not None for part in ("-X", f"{name}={value}")]


class Instance:
    """One `rollcall run` process."""

    def __init__(self, folder, name, options, env=None, arguments=(), binary=None):
        self.name = name
        self.http_port = process.free_port()
        self.log_path = os.path.join(folder, f"{name}.log")
        self.options = {"http.listen": f"127.0.0.1:{self.http_port}", **options}
        self._process = process.spawn([binary or BINARY, "run", *arguments,
                                       *flags(self.options)], self.log_path,
                                      env={**os.environ, **(env or {})})

    def log(self):
        """Returns everything logged so far."""
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def is_running(self):
        """Whether the process is running."""
        return self._process.poll() is None

    def threads(self):
        """Returns thread name -> kernel functions in which threads of this name wait."""
        folder, found = f"/proc/{self.pid()}/task", {}
        for task in os.listdir(folder):
            with open(f"{folder}/{task}/comm") as comm, open(f"{folder}/{task}/wchan") as wchan:
                found.setdefault(comm.read().strip(), []).append(wchan.read())
        return found

    def pid(self):
        """The process id."""
        return self._process.pid

    def check_alive(self):
        """Raises if the program has exited by itself."""
        if not self.is_running():
            raise AssertionError(f"{self.name} ended with status {self._process.returncode}:\n"
                                 f"{process.tail(self.log_path)}")

    def peak_memory_mb(self):
        """The peak resident memory of the process."""
        return process.peak_memory_mb(self._process.pid)

    def get(self, path):
        """Sends HTTP GET; returns (status, body as text), or (0, "") if there is no response."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}",
                                        timeout=5 * wait.factor) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self):
        """Returns /metrics as (name, sorted (label, value) pairs) -> number; empty if down."""
        found = {}
        for line in self.get("/metrics")[1].splitlines():
            match = _SAMPLE.match(line)
            if match:
                labels = tuple(sorted(_LABEL.findall(match.group(2) or "")))
                found[match.group(1), labels] = float(match.group(3))
        return found

    def metric(self, name, **labels):
        """The sum of a metric over all its samples that have the given labels; 0 if none."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.metrics().items()
                   if found == name and wanted <= set(has))

    def is_ready(self):
        """Whether /readyz returns 200."""
        return self.get("/readyz")[0] == 200

    def wait_ready(self, seconds=30):
        """Waits until /readyz returns 200."""
        wait.until(self.is_ready, seconds,
                   lambda: f"{self.name} to be ready:\n{process.tail(self.log_path)}",
                   alive=self.check_alive)
        return self

    def wait_assigned(self, count, seconds=40):
        """Waits until exactly count partitions are assigned."""
        wait.until(lambda: self.metric("rollcall_assigned_partitions") == count, seconds,
                   lambda: f"{self.name} to own {count} partitions, now "
                           f"{self.metric('rollcall_assigned_partitions')}:\n"
                           f"{process.tail(self.log_path)}",
                   alive=self.check_alive, every=0.1)

    def wait_log(self, text, seconds=30):
        """Waits until the log contains a text."""
        wait.until(lambda: text in self.log(), seconds,
                   lambda: f"{text!r} in the log of {self.name}:\n{process.tail(self.log_path)}")

    def wait_exit(self, seconds=30):
        """Waits until the program exits by itself; returns its exit status."""
        wait.until(lambda: not self.is_running(), seconds,
                   lambda: f"{self.name} to exit:\n{process.tail(self.log_path)}")
        return self._process.returncode

    def stop(self, seconds=30):
        """Stops the instance with SIGTERM; it must exit in time, with status 0."""
        self.check_alive()
        self._process.terminate()
        status = self.wait_exit(seconds)
        assert status == 0, f"{self.name}: status {status} after SIGTERM:\n" \
                            f"{process.tail(self.log_path)}"

    def kill(self):
        """Kills the instance with SIGKILL."""
        process.kill(self._process)

    def signal(self, number):
        """Sends the instance a signal."""
        self._process.send_signal(number)

    def pause(self):
        """Suspends the instance with SIGSTOP."""
        self.signal(signal.SIGSTOP)

    def resume(self):
        """Resumes the instance with SIGCONT."""
        self.signal(signal.SIGCONT)

    def snapshot(self):
        """Returns what `rollcall snapshot` prints with this instance's options."""
        done = execute("snapshot", options=self.options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

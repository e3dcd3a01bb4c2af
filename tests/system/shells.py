"""Interactive shells on a terminal of their own, in which Tab completes a command line."""

import os
import pty
import re
import select
import subprocess
import time

import wait

TAB = "\t"

#: How each shell starts without anybody's settings, and what makes Ctrl-X A insert all that match.
#: `rollcall` is a function there: it prints the words that it was called with.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             "bind '\"\\C-xa\": insert-completions'\nsource {folder}/rollcall\n"),
    "zsh": (["zsh", "-f", "-i"],
            "fpath=({folder} $fpath)\nautoload -U compinit\ncompinit -u -D\n"
            "zle -C all-matches complete-word _generic\nbindkey '^Xa' all-matches\n"
            "zstyle ':completion:all-matches::::' completer _all_matches _complete\n"
            "zstyle ':completion:all-matches:*' insert true\n"),
}
ALL = "\x18a"


class Shell:
    """One of SHELLS, with the completion that is in `folder`. To be used with `with`."""

    def __init__(self, name, folder):
        command, prepare = SHELLS[name]
        self._terminal, other = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=other, stdout=other, stderr=other, start_new_session=True, cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": folder, "TERM": "dumb", "INPUTRC": "/dev/null",
                 "LC_ALL": "C.UTF-8"})
        os.close(other)
        self._output = ""
        self._send(prepare.format(folder=folder))
        # The marks are in pieces, because the terminal echoes what is typed.
        self._send("rollcall() { printf 'WO''RDS<%s>' \"$*\"; echo; }\n")
        self.complete("rollcall ready", "")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def _send(self, text):
        os.write(self._terminal, text.encode())

    def complete(self, line, keys=TAB):
        """Types the line and the keys, then Return; returns the words that rollcall was given."""
        self._output = ""
        self._send(line + keys + "\n")
        deadline = time.monotonic() + 30 * wait.factor
        while not (found := re.search(r"WORDS<(.*?)>", self._output, re.DOTALL)):
            left = deadline - time.monotonic()
            assert left > 0, f"no answer to {line!r}: {self._output!r}"
            if select.select([self._terminal], [], [], left)[0]:
                self._output += os.read(self._terminal, 65536).decode(errors="replace")
        return found.group(1).split()


def complete_in_fish(line, folder):
    """What fish offers at the end of the line."""
    done = subprocess.run(
        ["fish", "--no-config", "-c",
         f"source {folder}/rollcall.fish; complete --do-complete $argv[1]", line],
        capture_output=True, text=True, timeout=60 * wait.factor, stdin=subprocess.DEVNULL,
        cwd=folder, env={"PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0 and not done.stderr, done.stderr
    return [offer.split("\t")[0] for offer in done.stdout.splitlines()]

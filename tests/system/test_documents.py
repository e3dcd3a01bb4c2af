"""What rollcall writes of itself: manual pages, a configuration file, completion for shells."""

import re
import shutil
import subprocess

import pytest

import rollcall
import shells

PAGES = ("rollcall.1", "rollcall.ini.5")
FILES = {"bash": "rollcall", "zsh": "_rollcall", "fish": "rollcall.fish"}


def document(name):
    done = subprocess.run([rollcall.BINARY, "help", name], capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout


def settings():
    """Every setting by `rollcall help settings`: (section, key)."""
    section, found = "", []
    for line in document("settings").splitlines():
        if heading := re.fullmatch(r"\[(.*)\]", line):
            section = heading.group(1)
        elif key := re.match(r"  (\S+)", line):
            if not line.startswith("   "):
                found.append((section, key.group(1)))
    assert len(found) > 30 and ("redis", "url") in found and ("dimension.NAME", "from") in found
    return found


def commands():
    done = subprocess.run([rollcall.BINARY, "--help"], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL)
    found = re.findall(r"^  (\w+)  +\w", done.stdout, re.MULTILINE)
    assert "run" in found and "audit" in found
    return found


def needs(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


# --------------------------------------------------------------------------------------- manual

@pytest.mark.parametrize("name", PAGES)
def test_manual_pages_are_without_fault(name, tmp_path):
    needs("mandoc")
    path = tmp_path / name
    path.write_text(document(name))
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", str(path)], capture_output=True,
                          text=True, timeout=60, stdin=subprocess.DEVNULL)
    complaints = [line for line in (done.stdout + done.stderr).splitlines()
                  if not re.search("referenced manual not found: Xr rollcall", line)]
    assert not complaints


def rendered(name, tmp_path):
    path = tmp_path / name
    path.write_text(document(name))
    done = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=250", str(path)],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return re.sub(".\b", "", done.stdout)


def test_every_setting_is_in_the_manual(tmp_path):
    needs("mandoc")
    section, found = "", []
    for line in rendered("rollcall.ini.5", tmp_path).splitlines():
        if heading := re.fullmatch(r"   \[(.*)\]", line):
            section = heading.group(1)
        elif section and (key := re.match(r"     ([a-z][a-z_.]*)(\s|$)", line)):
            found.append((section, key.group(1)))
    assert found == settings()


def test_every_command_and_option_is_in_the_manual(tmp_path):
    needs("mandoc")
    text = rendered("rollcall.1", tmp_path)
    for command in commands():
        assert re.search(rf"^   {command}: ", text, re.MULTILINE), command
        shown = subprocess.run([rollcall.BINARY, command, "--help"], capture_output=True, text=True,
                               timeout=60, stdin=subprocess.DEVNULL).stdout
        for option in re.findall(r"^ .{4}  (--\w+)", shown, re.MULTILINE):
            assert re.search(rf"^     .*{option}\b", text, re.MULTILINE), (command, option)


# ----------------------------------------------------------------------------- configuration file

def effective(broker, tmp_path, text):
    """All settings of a configuration, by `check -v`, which finds no Redis."""
    path = tmp_path / "rollcall.ini"
    path.write_text(text)
    done = subprocess.run(
        [rollcall.BINARY, "check", "-v", "-c", str(path), "-X",
         f"kafka.bootstrap.servers={broker.address}", "-X", "redis.timeout_ms=100"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 1, done.stderr
    shown = done.stdout[done.stdout.index("[kafka]"):]
    return re.sub(r"(?m)^# random: id = .*$|^ok .*|^bad .*", "", shown).strip()


def test_the_configuration_file_sets_nothing(broker, tmp_path):
    assert effective(broker, tmp_path, document("rollcall.ini")) == effective(broker, tmp_path, "")


def test_the_configuration_file_has_every_setting_with_its_default(broker, tmp_path):
    text = document("rollcall.ini")
    section, found = "", []
    for line in text.splitlines():
        if heading := re.fullmatch(r"#?\[(.*)\]", line):
            section = heading.group(1)
        elif key := re.match(r"#(\S+) =", line):
            found.append((section, key.group(1)))
    assert found == settings()
    active = text[:text.index("#[dimension.NAME]")]
    active = re.sub(r"(?m)^#(\S+ = \S.*)$", r"\1", active)
    assert active.count("\n#") < text.count("\n#") - 25
    assert effective(broker, tmp_path, active) == effective(broker, tmp_path, "")


# ------------------------------------------------------------------------------------- completion

@pytest.fixture(params=list(FILES))
def complete(request, tmp_path):
    """A function: a line -> all words that the shell offers at its end, a word -> itself."""
    needs(request.param)
    (tmp_path / FILES[request.param]).write_text(document(request.param))
    (tmp_path / "some.ini").write_text("")
    if request.param == "fish":
        yield lambda line: shells.complete_in_fish(line, str(tmp_path))
        return
    with shells.Shell(request.param, str(tmp_path)) as shell:
        def offers(line):
            before = line.split()[1:] if line.endswith(" ") else line.split()[1:-1]
            words = shell.complete(line, shells.ALL)
            assert words[:len(before)] == before
            return words[len(before):]
        yield offers


def test_commands_are_completed(complete):
    assert complete("rollcall au") == ["audit"]
    assert set(complete("rollcall ")) >= {*commands(), "help"}
    assert set(complete("rollcall -v -c some.ini re")) == {"ready", "rebuild"}
    assert set(complete("rollcall help ")) >= {*commands(), "settings"}


def test_options_are_completed(complete):
    assert [word.rstrip("=") for word in complete("rollcall check --sa")] == ["--sample"]
    assert complete("rollcall -v check --rel") == ["--reload"]
    assert not [word for word in complete("rollcall audit --") if word.startswith("--rel")]
    assert complete("rollcall run -c so") == ["some.ini"]


def test_settings_are_completed(complete):
    assert complete("rollcall run -X redis.ca") == ["redis.ca_file="]
    assert set(complete("rollcall run -X redis.url")) == {"redis.url=", "redis.url_file="}
    values = [word.split("=")[-1] for word in complete("rollcall -X log.level=")]
    assert sorted(filter(None, values)) == ["debug", "error", "info", "warn"]
    assert complete("rollcall check -X log.format=js")[-1].split("=")[-1] == "json"


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_tab_completes_as_far_as_it_is_clear(name, tmp_path):
    needs(name)
    (tmp_path / FILES[name]).write_text(document(name))
    with shells.Shell(name, str(tmp_path)) as shell:
        assert shell.complete("rollcall au") == ["audit"]
        assert shell.complete("rollcall audit -X log.for\tjs") == ["audit", "-X", "log.format=json"]
        assert shell.complete("rollcall audit -X redis.prefix=own\t -X log.lev\tde") == \
            ["audit", "-X", "redis.prefix=own", "-X", "log.level=debug"]

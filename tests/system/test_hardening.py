"""Checks in the executable that the hardening options of compiler and linker took effect."""

import platform
import re
import subprocess

import pytest

import rollcall


def _readelf(*arguments):
    """Returns readelf's output for the program."""
    return subprocess.run(["readelf", "--wide", *arguments, rollcall.BINARY], check=True,
                          capture_output=True, text=True, timeout=60).stdout


def _segments():
    """Returns segment type -> flags ("R E", "RW ", ...), one string per segment of that type."""
    found = {}
    for line in _readelf("--segments").splitlines():
        match = re.match(r"\s+([A-Z_]+)(?:\s+0x[0-9a-f]+){5} ([R ][W ][E ])", line)
        if match:
            found.setdefault(match[1], []).append(match[2])
    return found


def _imports():
    """Returns the names of the symbols that the program imports."""
    return {line.split()[7].split("@")[0] for line in _readelf("--dyn-syms").splitlines()
            if re.search(r"\bUND \S", line)}


def test_it_can_be_loaded_anywhere():
    flags = _readelf("--dynamic")
    assert re.search(r"Type:\s+DYN\b", _readelf("--file-header"))
    assert re.search(r"\(FLAGS_1\).*\bPIE\b", flags)


def test_no_segment_is_writable_and_executable_and_the_stack_is_not():
    segments = _segments()
    assert segments["GNU_STACK"] == ["RW "]
    assert segments["LOAD"]
    assert not [flags for flags in segments["LOAD"] if "W" in flags and "E" in flags]


def test_relocated_data_is_read_only():
    """Full RELRO: everything is relocated at start (BIND_NOW) and then write-protected."""
    flags = _readelf("--dynamic")
    assert "GNU_RELRO" in _segments()
    assert re.search(r"\(FLAGS\).*\bBIND_NOW\b", flags) and re.search(r"\(FLAGS_1\).*\bNOW\b", flags)
    assert "(TEXTREL)" not in flags


def test_calls_that_write_into_buffers_know_their_size():
    """_FORTIFY_SOURCE replaces printf and memcpy with their checking variants."""
    assert {"__snprintf_chk", "__vsnprintf_chk", "__memcpy_chk"} <= _imports()


def test_the_stack_is_guarded_in_every_file():
    """The debugging information lists the compiler options of each file."""
    wanted = ["-fstack-protector-strong", "-fstack-clash-protection"]
    if platform.machine() == "x86_64":
        wanted.append("-fcf-protection=full")
    notes = re.findall(r"DW_AT_producer.*: (GNU C.*)", _readelf("--debug-dump=info"))
    if not notes:
        pytest.skip("not compiled by gcc, or without debugging information")
    for note in notes:
        assert not [switch for switch in wanted if switch not in note.split()], note
    assert "__stack_chk_fail" in _imports()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="endbr64 exists only on x86-64")
def test_a_jump_through_a_pointer_lands_at_the_start_of_a_function():
    """-fcf-protection: every function whose address is taken begins with endbr64."""
    code = subprocess.run(["objdump", "--disassemble", "--section=.text", "--no-show-raw-insn",
                           rollcall.BINARY], check=True, capture_output=True, text=True).stdout
    first = {int(start, 16): (name, instruction) for start, name, instruction in re.findall(
        r"^([0-9a-f]+) <([^_>][^>]*)>:\n\s+[0-9a-f]+:\s+(\S+)", code, re.MULTILINE)}
    by_code = re.findall(r"\slea +\S+ +# ([0-9a-f]+) <", code)
    by_data = re.findall(r"R_X86_64_RELATIV\w* +([0-9a-f]+)$", _readelf("--relocs"), re.MULTILINE)
    pointed_at = [{int(at, 16) for at in found} & first.keys() for found in (by_code, by_data)]
    assert min(map(len, pointed_at)) > 5
    assert not [first[at] for at in set.union(*pointed_at) if first[at][1] != "endbr64"]

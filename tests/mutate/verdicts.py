"""The verdicts about mutants, in verdicts.txt: what reviewers made of those that survived.

An entry is the file and function, the line before and after, and the verdict with its reason:

    src/base/text.c text_reserve
    - if (needed <= text->capacity) return;
    + if (needed < text->capacity) return;
    = equivalent: grows to what it has already

Verdicts: `equivalent` (no test could tell), `gap` (a test should, and none does yet), `closed` (a
gap until a test was written: it must be killed from now on). `#2` behind the function is the second
mutant with the same text in it.
"""

import os

VERDICTS = ("equivalent", "gap", "closed")
PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "verdicts.txt")


def read(path=PATH):
    """{key: (verdict, reason)}; raises ValueError on what it does not understand."""
    verdicts = {}
    place = before = after = None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if line == "" or line.startswith("#"):
                continue
            if line.startswith("- "):
                before = line[2:]
            elif line == "+" or line.startswith("+ "):
                after = line[2:]
            elif line.startswith("= "):
                verdict, _, reason = line[2:].partition(": ")
                if verdict not in VERDICTS or not reason or None in (place, before, after):
                    raise ValueError(f"{path}:{number}: write '= equivalent|gap|closed: REASON' "
                                     "behind file and function, before and after")
                verdicts[place[0], place[1], before, after, place[2]] = verdict, reason
                before = after = None
            else:
                words = line.split()
                ordinal = int(words.pop()[1:]) if words[-1].startswith("#") else 1
                place = words[0], words[1] if len(words) > 1 else "", ordinal
    return verdicts


def entry(mutant, verdict):
    """The text of an entry."""
    place = " ".join(filter(None, (mutant.file, mutant.function)))
    if mutant.ordinal > 1:
        place += f" #{mutant.ordinal}"
    return f"{place}\n- {mutant.before}\n+ {mutant.after}\n= {verdict}\n"

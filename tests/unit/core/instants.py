"""Writes instants.txt: times in every format with what Python makes of them, for test_instant.

usage: instants.py > instants.txt

A line: the format; the text, in which _ is a space; the answer in ms since 1970, or what is wrong: no
(not of this form), offset (RFC 3339 but for the offset), range (not within 1970 to 9999). Numbers are
Python's own whole numbers and decimals, dates those of its datetime.
"""

import datetime
import decimal
import fractions
import random

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MS_MAX = 253402300799999
UNITS = {"s": 1000, "ms": 1, "us": fractions.Fraction(1, 1000), "ns": fractions.Fraction(1, 10**6)}


def answer(ms):
    """The field of the answer for an exact time in ms."""
    return "range" if ms < 0 or ms >= MS_MAX + 1 else str(ms // 1)


def numbers(rng):
    """Whole numbers near every limit and anywhere between, in any spelling."""
    for style, factor in UNITS.items():
        limit = int((MS_MAX + 1) / factor)
        values = [0, 1, limit - 1, limit, limit + 1, limit * 10, limit // 2, 2**53, 2**53 + 1,
                  2**63 - 1, 2**63, 2**64, 10**18, 10**19 + 7, 10**40]
        values += [rng.randrange(limit + 1) for _ in range(300)]
        values += [rng.randrange(10**rng.randrange(1, 25)) for _ in range(100)]
        for value in values:
            yield style, str(value), answer(value * factor)
            yield style, spelled(value, rng), answer(value * factor)
        for text in ("-1", "-0.5", "-1e-400", "-1e400"):
            yield style, text, "range"
        for text in ("-0", "0e999999999999", "-0.0E-5", "0.000"):
            yield style, text, "0"
        for text in ("0.5", "1.5e0", "15e-1", "1e-400", "60.00000000000000000000000000001",
                     "253402300798.5"):
            yield style, text, "no"


def spelled(value, rng):
    """The same number otherwise."""
    zeros = rng.randrange(1, 6)
    return rng.choice([
        f"{value}.{'0' * zeros}", f"{value}{'0' * zeros}e-{zeros}", f"{value}E{rng.choice(['+', '-', ''])}00",
        f"{decimal.Decimal(value).scaleb(-zeros):f}e+{zeros}",
        f"{decimal.Decimal(value).scaleb(-25):f}E25"])


def rfc3339(rng):
    """Dates from 1970 to 9999 with every offset, fraction and separator, and near-misses."""
    for _ in range(1500):
        year = rng.choice([1970, 1972, 2000, 2024, 2100, 9999, rng.randrange(1970, 10000)])
        month, hour, minute = rng.randrange(1, 13), rng.randrange(24), rng.randrange(60)
        day = rng.choice([1, 28, 29, 30, 31, rng.randrange(1, 29)])
        second = rng.choice([0, 59, 60, rng.randrange(60)])
        offset = rng.choice([None, 0, 60, -60, rng.randrange(-1439, 1440)])
        fraction = rng.choice(["", "." + "".join(rng.choices("0123456789", k=rng.randrange(1, 13)))])
        zone = rng.choice("Zz") if offset is None else (
            f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}")
        text = (f"{year:04}-{month:02}-{day:02}{rng.choice('Tt_')}{hour:02}:{minute:02}:{second:02}"
                f"{fraction}{zone}")
        try:
            moment = datetime.datetime(year, month, day, hour, minute, min(second, 59),
                                       tzinfo=datetime.timezone.utc)
        except ValueError:
            yield "rfc3339", text, "no"
            continue
        seconds = (moment - EPOCH) // datetime.timedelta(seconds=1) - (offset or 0) * 60
        yield "rfc3339", text, answer(seconds * 1000)
        yield "rfc3339", text[:-1 if offset is None else -6], "offset"
        place = rng.randrange(len(text))
        broken = text[:place] + rng.choice("x-:.TZ/") + text[place + 1:]
        if broken not in (text, text.upper(), text.lower()) and not fits(broken):
            yield "rfc3339", broken, "offset" if fits(broken + "Z") else "no"
    for text, ms in (("1970-01-01T00:00:00Z", "0"), ("1970-01-01T00:00:00+00:01", "range"),
                     ("1969-12-31T23:59:00-00:01", "0"), ("1970-01-01T00:00:00-00:00", "0"),
                     ("9999-12-31T23:59:60.9Z", "253402300799000"),
                     ("9999-12-31T23:59:59-00:01", "range"), ("1969-12-31T23:59:60Z", "range"),
                     ("9999-12-31T23:59:59+23:59", "253402214459000"), ("0000-01-01T00:00:00Z", "range"),
                     ("0001-01-01T00:00:00+23:59", "range"), ("2024-02-30T00:00:00Z", "no"),
                     ("2024-07-10T24:00:00Z", "no"), ("2024-07-10T14:36:61Z", "no"),
                     ("2024-07-10T14:36Z", "no"), ("2024-07-10T14:36:56.Z", "no"),
                     ("2024-07-10T14:36:56,5Z", "no"), ("2024-07-10T14:36:56+24:00", "no"),
                     ("2024-07-10T14:36:56+00:60", "no"), ("2024-07-10T14:36:56+0200", "no"),
                     ("2024-07-10T14:36:56+02", "no"), ("2024-07-10T14:36:56_Z", "no"),
                     ("2024-07-10T14:36:56ZZ", "no"), ("_2024-07-10T14:36:56Z", "no"),
                     ("20240710T143656Z", "no"), ("2024-07-10", "no"), ("10000-01-01T00:00:00Z", "no"),
                     ("-2024-07-10T14:36:56Z", "no"), ("2024-192T14:36:56Z", "no"),
                     ("2024-07-10T14:36:56_+02:00", "no"), ("1720622216", "no")):
        yield "rfc3339", text, ms


def fits(text):
    """Whether Python reads it as a time with an offset, leap seconds aside."""
    try:
        text = text.replace("_", " ").replace(":60", ":59")
        if len(text) < 20 or "." in text[:19] or "," in text or ";" in text:
            return False
        head, rest = text[:19], text[19:]
        datetime.datetime.strptime(head.upper().replace(" ", "T"), "%Y-%m-%dT%H:%M:%S")
        if rest.startswith("."):
            digits = rest[1:].rstrip("Zz") if rest[-1] in "Zz" else rest[1:-6]
            if not digits.isdigit():
                return False
            rest = rest[1 + len(digits):]
        return rest in ("Z", "z") or bool(datetime.datetime.strptime(rest, "%z")) and len(rest) == 6
    except ValueError:
        return False


def main():
    """Prints all lines, the same each time."""
    rng = random.Random(3339)
    for line in (*numbers(rng), *rfc3339(rng)):
        print("\t".join(line))


if __name__ == "__main__":
    main()

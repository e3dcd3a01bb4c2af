"""Finds every single-point mutant of a C or Lua source, by its tokens.

Nothing inside comments, strings, preprocessor lines or asserts is changed. A mutant is known by the
text it changes, not by its line, so that a verdict about it survives edits elsewhere in the file.
"""

import re
from dataclasses import dataclass

COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "~=": "=="}
LOGIC = {"&&": "||", "||": "&&", "and": "or", "or": "and"}
ARITHMETIC = {"+": "-", "-": "+", "+=": "-=", "-=": "+=", "++": "--", "--": "++", "<<": ">>",
              ">>": "<<", "|=": "&=", "&=": "|="}
CONSTANTS = {"true": "false", "false": "true"}

_C = re.compile(r"""
      (?P<skip>/\*.*?\*/ | //[^\n]* | ^[ \t]*\#(?:\\\n|[^\n])* | \s+)
    | (?P<string>"(?:\\.|[^"\\\n])*")
    | (?P<char>'(?:\\.|[^'\\\n])+')
    | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>->|\+\+|--|<<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|\.\.\.|.)
    """, re.VERBOSE | re.DOTALL | re.MULTILINE)
_LUA = re.compile(r"""
      (?P<skip>--\[\[.*?\]\] | --[^\n]* | \s+)
    | (?P<string>"(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | \[\[.*?\]\])
    | (?P<number>\.?\d[\w.]*)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>\.\.\.|\.\.|<=|>=|==|~=|.)
    """, re.VERBOSE | re.DOTALL)

#: Calls of which nothing is changed: without them, the program does the same.
_SILENT = {"assert", "static_assert", "_Static_assert", "alignas", "_Alignas", "sizeof",
           "__attribute__", "log_debug"}
_NOT_STATEMENTS = {"if", "else", "for", "while", "do", "switch", "case", "default", "return",
                   "goto", "struct", "enum", "union", "const", "static", "typedef", "void", "bool",
                   "int", "char", "unsigned", "long", "double", "size_t", "assert",
                   "static_assert", "_Static_assert", "__attribute__", "log_debug"}
_OPERANDS = {"name", "number", "char"}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Mutant:
    """A source text in which [start, end) is replaced."""

    file: str
    function: str  # "" outside of functions
    operator: str
    line: int
    start: int
    end: int
    replacement: str
    before: str  # the lines it changes, in one
    after: str
    ordinal: int  # among those of the same text in a function

    @property
    def key(self):
        """What a verdict is about."""
        return self.file, self.function, self.before, self.after, self.ordinal

    @property
    def layer(self):
        """The layer of the file; Lua is one of its own."""
        return "lua" if self.file.endswith(".lua") else self.file.split("/")[1]

    def apply(self, text):
        """The mutated source."""
        return text[:self.start] + self.replacement + text[self.end:]


def tokenize(text, grammar):
    """All tokens but space, comments and preprocessor lines."""
    return [Token(found.lastgroup, found.group(), found.start(), found.end())
            for found in grammar.finditer(text) if found.lastgroup != "skip"]


def matching(tokens, at):
    """The index of the bracket that closes the one at this index."""
    pairs = {"(": ")", "[": "]", "{": "}"}
    begin, end = tokens[at].text, pairs[tokens[at].text]
    depth = 0
    for i in range(at, len(tokens)):
        depth += (tokens[i].text == begin) - (tokens[i].text == end)
        if depth == 0:
            return i
    raise ValueError("unbalanced " + begin)


# --- C --------------------------------------------------------------------------------------------

def functions(tokens):
    """(name, tokens of the result's type, first, last) of each body, as indexes of its braces."""
    i = start = 0
    while i < len(tokens):
        text = tokens[i].text
        if text == "{":
            end = matching(tokens, i)
            head = without_attributes(tokens[start:i])
            paren = next((k for k, t in enumerate(head) if t.text == "("), None)
            if paren and head[-1].text == ")" and head[paren - 1].kind == "name" and \
                    all(t.text != "=" for t in head):
                kind = [t.text for t in head[:paren - 1]
                        if t.text not in ("static", "inline", "extern")]
                yield head[paren - 1].text, kind, i, end
                start = end + 1
            i = end + 1
            continue
        if text == ";":
            start = i + 1
        i += 1


def without_attributes(head):
    """The tokens of a function's head but `__attribute__((...))`."""
    kept = []
    i = 0
    while i < len(head):
        if head[i].text == "__attribute__":
            i = matching(head, i + 1)
        else:
            kept.append(head[i])
        i += 1
    return kept


def other_result(kind, value):
    """Another value to return, or None."""
    if "*" in kind:
        return None if value == "NULL" else "NULL"
    if "struct" in kind or "void" in kind:
        return None
    if "bool" in kind:
        return {"true": "false", "false": "true"}.get(value, f"!({value})")
    if "enum" in kind:
        return f"({value}) == 0 ? 1 : 0"
    return f"({value}) + 1"


def next_number(text):
    """A number that is one higher (0 and 1 change places), or None for what is not understood."""
    found = re.fullmatch(r"(0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?)([uUlLfF]*)", text)
    if found is None:
        return None
    number, suffix = found.groups()
    if number.lower().startswith("0x"):
        return hex(int(number, 16) + 1) + suffix
    if "." in number:
        return str(float(number) + 1) + suffix
    return str(0 if number == "1" else int(number) + 1) + suffix


def silent_tokens(tokens):
    """Indexes of what is inside calls that are left alone."""
    silent = set()
    for i, token in enumerate(tokens[:-1]):
        if token.text in _SILENT and tokens[i + 1].text == "(":
            silent.update(range(i, matching(tokens, i + 1) + 1))
    return silent


def is_array_size(tokens, i):
    """Whether a number is the size in a declaration: `char name[64]`."""
    return (i >= 3 and tokens[i - 1].text == "[" and tokens[i + 1].text == "]" and
            tokens[i - 2].kind == "name" and
            (tokens[i - 3].kind == "name" and tokens[i - 3].text != "return" or
             tokens[i - 3].text in ("*", ",")))


def is_binary(tokens, i):
    return i > 0 and (tokens[i - 1].kind in _OPERANDS and tokens[i - 1].text != "return" or
                      tokens[i - 1].text in (")", "]"))


def point_changes(tokens, silent):
    """(operator, start, end, replacement) for all that needs no more than a token."""
    for i, token in enumerate(tokens):
        if i in silent:
            continue
        text = token.text
        other = None
        if token.kind == "number":
            operator = "constant"
            other = None if is_array_size(tokens, i) else next_number(text)
        elif token.kind == "char":
            operator, other = "constant", f"({text} + 1)"
        elif text in CONSTANTS:
            operator, other = "constant", CONSTANTS[text]
        elif text in COMPARISONS:
            operator, other = "comparison", COMPARISONS[text]
        elif text in LOGIC:
            operator, other = "logic", LOGIC[text]
        elif text in ARITHMETIC and (text not in ("+", "-") or is_binary(tokens, i)):
            operator, other = "arithmetic", ARITHMETIC[text]
        if other is not None:
            yield operator, token.start, token.end, other


def c_body_changes(tokens, kind, first, last, silent):
    """The same for conditions, results and statements in the function body [first, last]."""
    depth = 0
    for i in range(first + 1, last):
        token, before = tokens[i], tokens[i - 1]
        depth += (token.text == "(") - (token.text == ")")
        if i in silent:
            continue
        if token.text in ("if", "while") and tokens[i + 1].text == "(":
            end = matching(tokens, i + 1)
            yield "condition", tokens[i + 1].start, tokens[end].end, None
        elif token.text == "return" and tokens[i + 1].text != ";":
            end = next(k for k in range(i, last) if tokens[k].text == ";")
            yield "return", tokens[i + 1].start, tokens[end - 1].end, kind
        starts = before.text in (";", "{", "}", "else", ":") or (
            before.text == ")" and depth == 0 and follows_head(tokens, i - 1))
        if not starts or depth != 0 or token.kind != "name" and token.text not in ("*", "++", "--"):
            continue
        if before.text in ("{", ":") and is_initializer(tokens, i):
            continue
        end = next(k for k in range(i, last + 1) if tokens[k].text in (";", "{", "}"))
        if tokens[end].text == "{":  # a compound literal within a statement
            close = matching(tokens, end)
            end = next((k for k in range(close, last) if tokens[k].text == ";"), end)
        if tokens[end].text == ";" and is_statement(tokens, i):
            yield "statement", token.start, tokens[end].end, ";"


def follows_head(tokens, close):
    """Whether the bracket at this index closes the head of an if, for or while."""
    depth = 0
    for k in range(close, 0, -1):
        depth += (tokens[k].text == ")") - (tokens[k].text == "(")
        if depth == 0:
            return tokens[k - 1].text in ("if", "for", "while", "switch")
    return False


def is_initializer(tokens, i):
    """Whether what begins here is inside braces that hold values, or follows `?`'s colon."""
    if tokens[i - 1].text == "{":
        return i >= 2 and tokens[i - 2].text in ("=", ")", ",", "{") and not (
            tokens[i - 2].text == ")" and (follows_head(tokens, i - 2) or is_body(tokens, i - 1)))
    for k in range(i - 2, 0, -1):  # a label's colon is behind `case` or right behind its name
        if tokens[k].text in ("case", "default"):
            return False
        if tokens[k].text in (";", "{", "}"):
            return k != i - 3
    return True


def is_body(tokens, brace):
    """Whether this brace begins a function: its head is at the outermost level."""
    return sum((t.text == "{") - (t.text == "}") for t in tokens[:brace]) == 0


def is_statement(tokens, i):
    """Whether a call, an assignment, an increment, break or continue begins here."""
    if tokens[i].text in ("break", "continue"):
        return True
    if tokens[i].text in ("*", "++", "--"):
        return True
    return tokens[i].text not in _NOT_STATEMENTS and tokens[i + 1].text in (
        "(", "->", ".", "[", "=", "+=", "-=", "|=", "&=", "++", "--")


def c_changes(text):
    """(function, operator, start, end, replacement) of all mutants of a C source."""
    tokens = tokenize(text, _C)
    silent = silent_tokens(tokens)
    bodies = list(functions(tokens))

    def function_at(offset):
        return next((name for name, _, first, last in bodies
                     if tokens[first].start <= offset < tokens[last].end), "")

    for operator, start, end, other in point_changes(tokens, silent):
        yield function_at(start), operator, start, end, other
    for name, kind, first, last in bodies:
        for operator, start, end, other in c_body_changes(tokens, kind, first, last, silent):
            if operator == "condition":
                other = f"(!{text[start:end]})"
            elif operator == "return":
                other = other_result(kind, text[start:end])
                if other is None or text[start:end] in CONSTANTS:  # changed as a constant already
                    continue
            yield name, operator, start, end, other


# --- Lua ------------------------------------------------------------------------------------------

_LUA_WORDS = {"if", "then", "else", "elseif", "end", "for", "while", "do", "return", "local",
              "function", "repeat", "until", "not", "and", "or", "break", "in", "nil"}


def lua_changes(text):
    """The same for a Lua source."""
    tokens = tokenize(text, _LUA)
    names = [(found.start(), found.group(1))
             for found in re.finditer(r"^(?:local )?function ([\w.]+)", text, re.MULTILINE)]

    def function_at(offset):
        """The last function that begins before; one ends at an `end` in the first column."""
        end = text.rfind("\nend", 0, offset)
        begun = [name for start, name in names if start <= offset and start > end]
        return begun[-1] if begun else ""

    for operator, start, end, other in point_changes(tokens, set()):
        yield function_at(start), operator, start, end, other
    for i, token in enumerate(tokens):
        if token.text in ("if", "elseif", "while"):
            stop = "do" if token.text == "while" else "then"
            end = next(k for k in range(i, len(tokens)) if tokens[k].text == stop)
            start, end = tokens[i + 1].start, tokens[end - 1].end
            yield function_at(start), "condition", start, end, f"not ({text[start:end]})"
        elif token.text == "return" and tokens[i + 1].text not in ("end", "return") and \
                "\n" not in text[token.end:tokens[i + 1].start]:
            start, end = tokens[i + 1].start, lua_end(text, tokens, i + 1)
            yield function_at(start), "return", start, end, "nil"
        elif token.kind == "name" and token.text not in _LUA_WORDS and is_line_start(text, token) \
                and tokens[i + 1].text in ("(", "=", ".", "["):
            depth = sum((t.text in "({[") - (t.text in ")}]") for t in tokens[:i]
                        if t.kind == "sign")
            if depth == 0:
                start, end = token.start, lua_end(text, tokens, i)
                yield function_at(start), "statement", start, end, ""


def is_line_start(text, token):
    return text[text.rfind("\n", 0, token.start) + 1:token.start].strip() == ""


def lua_end(text, tokens, i):
    """Where the statement ends that begins with token i: at a line's end outside of brackets."""
    depth = 0
    for k in range(i, len(tokens)):
        if tokens[k].kind == "sign":
            depth += (tokens[k].text in "({[") - (tokens[k].text in ")}]")
        last = k + 1 == len(tokens)
        if depth <= 0 and (last or tokens[k + 1].text in ("end", "else", "elseif") or (
                "\n" in text[tokens[k].end:tokens[k + 1].start] and
                tokens[k + 1].text not in ("and", "or", "..", "+", "-") and
                tokens[k].text not in ("and", "or", "..", "=", ","))):
            return tokens[k].end
    raise ValueError("a statement without an end")


# --- both -----------------------------------------------------------------------------------------

def whole_lines(text, start, end):
    """The bounds of the lines that hold [start, end)."""
    stop = text.find("\n", end)
    return text.rfind("\n", 0, start) + 1, len(text) if stop < 0 else stop


def find(file, text):
    """All mutants of a source text."""
    changes = lua_changes(text) if file.endswith(".lua") else c_changes(text)
    seen = {}
    found = []
    for function, operator, start, end, other in sorted(changes, key=lambda c: (c[2], c[3], c[4])):
        first, last = whole_lines(text, start, end)
        before = " ".join(text[first:last].split())
        after = " ".join((text[first:start] + other + text[end:last]).split())
        ordinal = seen[function, before, after] = seen.get((function, before, after), 0) + 1
        found.append(Mutant(file, function, operator, text.count("\n", 0, start) + 1, start, end,
                            other, before, after, ordinal))
    return found

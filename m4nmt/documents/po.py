"""Gettext catalogues: empty msgstr are filled, plural forms too; what is translated stays.

Entries whose translation is doubtful are marked fuzzy. Comments, contexts, obsolete entries and the
layout of everything else stay as they are. polib is not used for reading: it opens a file where the
contents happen to be a path, takes U+2028 for a line end, and lays every entry out anew.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from babel.core import UnknownLocaleError
from babel.messages.plurals import get_plural

from m4nmt.documents.inline import write
from m4nmt.documents.road import has_text
from m4nmt.documents.types import Content, DocumentError, Meter, Result, Slot
from m4nmt.documents.units import raw_text, without_tags

_KEYWORD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d{1,2})\])?[ \t]*(?=")')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"[ \t]*\r?$')
_ESCAPE = re.compile(r"\\([abfnrtv\\\"']|x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)")
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_WRITTEN = {"\\": "\\\\", '"': '\\"', **{v: f"\\{k}" for k, v in _PLAIN.items()}}
_PLURALS = re.compile(r"nplurals\s*=\s*(\d)")
_EDGES = re.compile(r"(\s*)(.*?)(\s*)", re.DOTALL)


@dataclass(slots=True)
class _Entry:
    """Positions are characters of the catalogue; `start` is where its first keyword stands."""

    start: int
    flags: tuple[int, int] | None  # the line "#, fuzzy"
    strings: dict[str, str] = field(default_factory=dict)
    target: tuple[int, int] | None = None  # all msgstr
    forms: int = 0


def split(document: str, meter: Meter) -> Iterator[Slot]:
    """The slots of a catalogue: one for each entry that is not translated.

    Raises:
        DocumentError: not a catalogue; with the line.
    """
    forms = 2
    for entry in _entries(document):
        if "msgid" not in entry.strings or entry.target is None:
            line = document.count("\n", 0, entry.start) + 1
            raise DocumentError(f"not PO: the entry at line {line} lacks its msgid or msgstr")
        if not entry.strings["msgid"]:
            found = _PLURALS.search("".join(entry.strings.values()))
            forms = int(found.group(1)) if found else forms
        elif not any(v for k, v in entry.strings.items() if k.startswith("msgstr")):
            yield from _slot(document, entry, forms, meter)


def header(document: str, code: str) -> str:
    """The catalogue with Language in its header, and Plural-Forms where there are none."""
    entry = next(_entries(document), None)
    if entry is None or entry.target is None or entry.strings.get("msgid") != "":
        return document
    text = entry.strings.get("msgstr", "")
    lines = [line for line in text.split("\n") if line]
    if not lines:
        return document
    named = [f"Language: {code}" if x.startswith("Language:") else x for x in lines]
    if named == lines and f"Language: {code}" not in lines:
        named.append(f"Language: {code}")
    if not any(_PLURALS.search(x) for x in named):
        named = [x for x in named if not x.startswith("Plural-Forms:")]
        named.append(f"Plural-Forms: {_plural(code)}")
    if named == lines:
        return document
    start, end = entry.target
    quoted = "".join(f"\n{_quoted(line)}" for line in (f"{x}\n" for x in named))
    return document[:start] + 'msgstr ""' + quoted + document[end:]


def _plural(code: str) -> str:
    try:
        return str(get_plural(code.replace("-", "_")).plural_forms).rstrip(";") + ";"
    except (UnknownLocaleError, ValueError):
        return "nplurals=2; plural=(n != 1);"


def _entries(document: str) -> Iterator[_Entry]:
    entry: _Entry | None = None
    flags: tuple[int, int] | None = None
    name, texts = "", list[str]()
    at = 0
    for number, line in enumerate(document.split("\n"), 1):
        start, at = at, at + len(line) + 1
        body = line.lstrip("\ufeff \t")
        start += len(line) - len(body)
        keyword = _KEYWORD.match(body)
        if keyword and entry is not None:
            entry.strings[name] = "".join(texts)
        if keyword:
            word = keyword.group(1)
            if entry is None or (word in ("msgid", "msgctxt") and entry.target is not None):
                if entry is not None:
                    yield entry
                    flags = None
                entry = _Entry(start, flags)
            name, texts = word + (keyword.group(2) or ""), []
            if name in entry.strings:
                raise DocumentError(f"not PO: line {number} has a second {name} for one entry")
            body = body[keyword.end() :]
        elif not body.rstrip("\r") or body.startswith("#"):
            if entry is not None and entry.target is not None:
                entry.strings[name] = "".join(texts)
                yield entry
                entry, flags = None, None
            if body.startswith("#,"):
                flags = (start, start + len(body))
            continue
        string = _STRING.match(body)
        if string is None or entry is None:
            raise DocumentError(
                f"not PO: line {number} is neither a comment nor a keyword with a quoted text"
            )
        texts.append(_unescaped(string.group(1)))
        if name.startswith("msgstr"):
            entry.forms += keyword is not None
            end = start + len(line.lstrip("\ufeff \t").rstrip())
            entry.target = (entry.target[0] if entry.target else start, end)
    if entry is not None:
        entry.strings[name] = "".join(texts)
        yield entry


def _slot(document: str, entry: _Entry, forms: int, meter: Meter) -> Iterator[Slot]:
    """All lines of singular and plural are contents of one slot."""
    singular = entry.strings["msgid"].split("\n")
    plural = entry.strings.get("msgid_plural")
    texts = singular + (plural.split("\n") if plural is not None else [])
    edges = [m.groups() for m in map(_EDGES.fullmatch, texts) if m]
    contents: tuple[Content, ...] = tuple(raw_text(body) for _, body, _ in edges)
    if not any(map(has_text, contents)):
        return
    meter.add(contents)
    assert entry.target is not None
    start, end = entry.flags[0] if entry.flags else entry.start, entry.target[1]

    def written(results: Sequence[Result]) -> str:
        if any(r.doubt and not r.changed for r in results):
            return document[start:end]
        whole = [
            lead + write(result.content, without_tags) + trail
            for (lead, _, trail), result in zip(edges, results, strict=True)
        ]
        one, many = "\n".join(whole[: len(singular)]), "\n".join(whole[len(singular) :])
        if plural is None:
            target = f"msgstr {_quoted(one)}"
        else:
            last = many if forms == 1 else one
            each = [last, *[many] * (forms - 1)]
            target = "\n".join(f"msgstr[{i}] {_quoted(text)}" for i, text in enumerate(each))
        unsure = any(r.doubt for r in results) or (plural is not None and forms > 2)
        return _flagged(document, entry, start, unsure) + target

    yield Slot(start, end, contents, written, fills=True)


def _flagged(document: str, entry: _Entry, start: int, unsure: bool) -> str:
    """What stands before msgstr, marked fuzzy if the translation is not sure."""
    assert entry.target is not None
    before = document[start : entry.target[0]]
    if not unsure or (entry.flags and "fuzzy" in document[entry.flags[0] : entry.flags[1]]):
        return before
    return f"#, fuzzy\n{before}" if entry.flags is None else f"#, fuzzy,{before[2:]}"


def _unescaped(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match.group(1)
        if code in _PLAIN:
            return _PLAIN[code]
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        return chr(int(code, 8)) if code[0] in "01234567" else code

    return _ESCAPE.sub(one, text)


def _quoted(text: str) -> str:
    """As a string of a catalogue: one line, or a line for each line of the text."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text) or [""]
    quoted = ['"' + "".join(_WRITTEN.get(c, c) for c in line) + '"' for line in lines]
    return quoted[0] if len(quoted) == 1 else "\n".join(['""', *quoted])

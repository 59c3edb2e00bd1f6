"""Gettext catalogues: a row for each entry, two where it has a plural.

Fuzzy entries have no translation, obsolete ones are passed over. The forms that pair with singular
and plural are those of one and of many, by the catalogue's own rule. A broken entry costs itself
alone. Not its job: writing catalogues.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from gettext import c2py

from m4nmt.data.read import lines, types
from m4nmt.data.read.types import NOT_UTF8, Faults, FormatError, Rows, Source

BROKEN = "not an entry of a catalogue"
FUZZY = "not taken: fuzzy"
OBSOLETE = "not taken: obsolete"
NO_FORM = "a plural form that its rule asks for is missing"
_KEYWORD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d{1,2})\])?[ \t]*(?=")')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*+)"[ \t]*')
_ESCAPE = re.compile(r"\\(?:([abfnrtv])|x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_PLAIN = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
_CHARSET = re.compile(r"charset=([A-Za-z0-9._-]+)")
_RULE = re.compile(r"nplurals\s*=\s*(\d+)\s*;\s*plural\s*=\s*([^;\n]+)")
_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii", "charset")  # the last one: a template's
_MANY = 5


@dataclass(slots=True)
class _Entry:
    """One entry as it is read; `name` is the keyword whose text goes on."""

    line: int
    fuzzy: bool = False
    broken: bool = False
    name: str = ""
    size: int = 0
    texts: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The text of a keyword; empty where it has none."""
        return "".join(self.texts.get(name, ()))


@dataclass(frozen=True)
class _Forms:
    """Which msgstr[n] is that of one, and which that of many; -1 for none."""

    one: int = 0
    many: int = 1


def read(chunks: Iterator[bytes], source: Source, faults: Faults) -> Rows:
    """The rows of a catalogue.

    Raises:
        FormatError: of another encoding than UTF-8, or fields other than source and target.
    """
    unknown = [f for f in source.fields if f not in ("source", "target")]
    if unknown:
        raise FormatError(f"{source}: PO has source and target, no {unknown[0]!r}")
    forms = _Forms()
    for entry in _entries(lines.numbered(chunks, source, faults), source, faults):
        where = f"{source}:{entry.line}"
        if entry.broken or "msgid" not in entry.texts:
            faults.add(BROKEN, where)
            yield source.nothing
        elif not entry.text("msgid"):
            forms = _header(entry.text("msgstr"), where)
        else:
            for one, other in _pairs(entry, forms, faults, where):
                sides = {"source": lines.one_line(one), "target": lines.one_line(other)}
                yield tuple(sides[str(name)] for name in source.fields)


def _entries(
    numbered: Iterator[tuple[int, str | None]], source: Source, faults: Faults
) -> Iterator[_Entry]:
    """Entries end with a blank line, a comment or the next one's first keyword."""
    entry: _Entry | None = None
    fuzzy = False
    for number, line in numbered:
        body = None if line is None else line.strip(" \t\r")
        if body is not None and (not body or body.startswith("#")):
            if entry is not None:
                yield entry
                entry, fuzzy = None, False
            fuzzy = fuzzy or (body.startswith("#,") and "fuzzy" in body)
            if body.startswith("#~") and "msgid " in body:
                faults.add(OBSOLETE, f"{source}:{number}")
                fuzzy = False
            continue
        keyword = None if body is None else _KEYWORD.match(body)
        if keyword and entry is not None and _opens(keyword.group(1), entry):
            yield entry
            entry, fuzzy = None, False
        if entry is None:
            entry = _Entry(number, fuzzy)
        _take(entry, body, keyword)
    if entry is not None:
        yield entry


def _opens(word: str, entry: _Entry) -> bool:
    """Whether a keyword begins another entry."""
    has = any(name.startswith("msgstr") for name in entry.texts)
    return word in ("msgid", "msgctxt") and (has or word in entry.texts)


def _take(entry: _Entry, body: str | None, keyword: re.Match[str] | None) -> None:
    """One more line of an entry."""
    if keyword and body is not None:
        entry.name = keyword.group(1) + (keyword.group(2) or "")
        entry.broken |= entry.name in entry.texts
        body = body[keyword.end() :]
    string = None if body is None else _STRING.fullmatch(body)
    entry.size += len(body or "")
    if string is None or not entry.name or entry.size > types.LONGEST_TEXT:
        entry.broken = True
        return
    try:
        entry.texts.setdefault(entry.name, []).append(_ESCAPE.sub(_escaped, string.group(1)))
    except ValueError:
        entry.broken = True


def _escaped(match: re.Match[str]) -> str:
    letter, hexadecimal, octal, other = match.groups()
    if letter:
        return _PLAIN[letter]
    if hexadecimal or octal:
        code = int(hexadecimal or octal, 16 if hexadecimal else 8)
        if code > 0x7F:
            raise ValueError("a byte, of which only several make a character")
        return chr(code)
    return str(other)


def _header(text: str, where: str) -> _Forms:
    charset = _CHARSET.search(text)
    if charset and charset.group(1).lower() not in _UTF8:
        raise FormatError(
            f"{where}: is {NOT_UTF8} but {charset.group(1)}; convert it: msgconv --to-code=UTF-8"
        )
    rule = _RULE.search(text)
    if rule is None:
        return _Forms()
    try:
        form = c2py(rule.group(2).strip())
        return _Forms(form(1) if int(rule.group(1)) > 1 else -1, form(_MANY))
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise FormatError(f"{where}: Plural-Forms that cannot be read: {error}") from error


def _pairs(entry: _Entry, forms: _Forms, faults: Faults, where: str) -> Iterator[tuple[str, str]]:
    one = entry.text("msgid")
    if entry.fuzzy:
        faults.add(FUZZY, where)
    if "msgid_plural" not in entry.texts:
        yield one, "" if entry.fuzzy else entry.text("msgstr")
        return
    for text, form in ((one, forms.one), (entry.text("msgid_plural"), forms.many)):
        name = f"msgstr{form}"
        if form >= 0 and name not in entry.texts:
            faults.add(NO_FORM, where)
        yield text, "" if entry.fuzzy else entry.text(name)

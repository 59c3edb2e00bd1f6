"""Languages as DeepL writes them: in capitals, and English and Portuguese as targets by variant."""

from collections.abc import Iterator

from m4nmt_serve.languages import Language

_VARIANTS = {
    "EN": (("EN-GB", "English (British)"), ("EN-US", "English (American)")),
    "PT": (("PT-BR", "Portuguese (Brazilian)"), ("PT-PT", "Portuguese (European)")),
}


def code(language: Language) -> str:
    """A language without its variants."""
    return language.code.upper()


def codes(language: Language, variants: bool) -> Iterator[tuple[str, str]]:
    """(code, name) of a language; its `variants` where its clients refuse the bare code."""
    plain = code(language)
    yield from _VARIANTS.get(plain, ()) if variants else ()
    if not variants or plain not in _VARIANTS:
        yield plain, language.name

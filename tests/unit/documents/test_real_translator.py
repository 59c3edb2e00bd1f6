"""Documents through a real Translator: alignment is asked for, and every format comes out sound."""

import io

import docx
import pytest
from documents_made import members, word
from evaluate_runs import make_run

from m4nmt.documents.translate import translate_document
from m4nmt.translate.translator import Translator
from m4nmt.translate.types import Translation


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    """Untrained: what it says is noise, which is the worst that documents can meet."""
    return Translator.load(make_run(tmp_path_factory.mktemp("run")), device="cpu")


def test_links_reach_the_tags(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Translation] = []
    whole = translator.translate

    def spied(*args: object, **kwargs: object) -> list[list[Translation]]:
        found = whole(*args, **kwargs)  # type: ignore[arg-type]
        seen.extend(best for best, *_ in found)
        return found

    monkeypatch.setattr(translator, "translate", spied)
    page = b"<p>one <b>two</b> three</p>"
    out = translate_document(page, "a.html", "en", "fr", translator).decode()
    assert (out.count("<b>"), out.count("</b>")) == (1, 1)
    assert any(translation.alignment for translation in seen)


def test_a_word_document_comes_out_sound(translator: Translator) -> None:
    before = word()
    after = translate_document(before, "a.docx", "en", "fr", translator)
    assert len(docx.Document(io.BytesIO(after)).paragraphs) == 6
    xml = members(after)["word/document.xml"]
    assert xml.count(b"<w:hyperlink") == xml.count(b"</w:hyperlink>") == 1
    assert xml.count(b"{0}") == 1

"""The clients that people have, unmodified, against a running server."""

import importlib
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from serve_helpers import FakeTranslator, Running, running

from m4nmt_serve import keys
from m4nmt_serve.settings import ServeConfig

pytestmark = pytest.mark.xdist_group("serve_clients")


def client(name: str) -> Any:
    """A client's module; it is part of the extra `clients`."""
    return pytest.importorskip(name, reason=f"{name} is not here: pip install 'm4nmt[clients]'")


@pytest.fixture(scope="module")
def deepl() -> ModuleType:
    return client("deepl")


class TestDeepL:
    """The official client of DeepL."""

    @pytest.fixture
    def translator(self, deepl: Any, served: Running) -> Any:
        return deepl.DeepLClient("whatever", server_url=served.url)

    def test_texts(self, translator: Any) -> None:
        one = translator.translate_text("Hello there", target_lang="DE")
        assert (one.text, one.detected_source_lang) == ("eng>deu Hello there", "EN")
        assert one.billed_characters == 11
        many = translator.translate_text(
            ["Hello", "you"], source_lang="EN", target_lang="SW", context="a letter"
        )
        assert [each.text for each in many] == ["eng>swh Hello", "eng>swh you"]
        british = translator.translate_text("Über", source_lang="DE", target_lang="EN-GB")
        assert british.text == "deu>eng Über"

    def test_tags(self, translator: Any) -> None:
        html = translator.translate_text(
            "<p>the <b>red</b> <keep>House</keep></p>",
            source_lang="EN",
            target_lang="DE",
            tag_handling="html",
            ignore_tags="keep",
        )
        assert html.text == "<p>eng&gt;deu the <b>red</b> <keep>House</keep></p>"
        xml = translator.translate_text(
            'Take <x id="1"></x> &amp; <Name>a &lt; b</Name><s>two</s>',
            source_lang="EN",
            target_lang="DE",
            tag_handling="xml",
            ignore_tags=["x", "Name"],
            splitting_tags=["s"],
        )
        assert xml.text == (
            'eng&gt;deu Take <x id="1"></x> &amp; <Name>a &lt; b</Name><s>eng&gt;deu two</s>'
        )

    def test_formality_is_a_preference_at_most(self, deepl: Any, translator: Any) -> None:
        ask = {"source_lang": "EN", "target_lang": "DE"}
        assert translator.translate_text("x", formality="prefer_more", **ask).text == "eng>deu x"
        with pytest.raises(deepl.DeepLException, match="formality"):
            translator.translate_text("x", formality="more", **ask)

    def test_languages_and_usage(self, translator: Any) -> None:
        sources = {x.code: x.name for x in translator.get_source_languages()}
        targets = {x.code: x.supports_formality for x in translator.get_target_languages()}
        assert sources["SW"] == "Swahili"
        assert "EN" in sources
        assert targets["EN-US"] is False
        assert {"EN-GB", "ZH"} <= set(targets)
        assert "EN" not in targets  # which its clients refuse
        assert not translator.get_usage().any_limit_reached
        pairs = {(x.source_lang, x.target_lang) for x in translator.get_glossary_languages()}
        assert ("en", "sw") in pairs

    def test_glossary_of_one_dictionary(self, deepl: Any, translator: Any, served: Running) -> None:
        made = translator.create_glossary("birds", "EN", "DE", {"bird": "Vogel", "owl": "Eule"})
        assert (made.ready, made.entry_count, made.source_lang) == (True, 2, "EN")
        assert translator.get_glossary(made.glossary_id).name == "birds"
        assert made.glossary_id in {x.glossary_id for x in translator.list_glossaries()}
        assert translator.get_glossary_entries(made) == {"bird": "Vogel", "owl": "Eule"}
        said = translator.translate_text(
            "A bird sings", source_lang="EN", target_lang="DE", glossary=made
        )
        assert said.text == "eng>deu A bird sings [Vogel]"
        translator.delete_glossary(made)
        with pytest.raises(deepl.GlossaryNotFoundException):
            translator.get_glossary(made.glossary_id)

    def test_glossary_of_several_dictionaries(self, deepl: Any, translator: Any) -> None:
        entries = deepl.api_data.MultilingualGlossaryDictionaryEntries
        made = translator.create_multilingual_glossary(
            "birds",
            [entries("EN", "DE", {"bird": "Vogel"}), entries("EN", "SW", {"bird": "ndege"})],
        )
        assert len(made.dictionaries) == 2
        number = made.glossary_id
        translator.update_multilingual_glossary_dictionary(
            number, entries("EN", "DE", {"owl": "Eule"})
        )
        got = translator.get_multilingual_glossary_entries(number, "EN", "DE")
        assert got.dictionaries[0].entries == "bird\tVogel\nowl\tEule"
        replaced = translator.replace_multilingual_glossary_dictionary(
            number, entries("EN", "DE", {"cat": "Katze"})
        )
        assert replaced.entry_count == 1
        named = translator.update_multilingual_glossary_name(number, "animals")
        assert named.name == "animals"
        translator.delete_multilingual_glossary_dictionary(
            number, source_lang="EN", target_lang="DE"
        )
        left = translator.get_multilingual_glossary(number)
        assert [(x.source_lang, x.target_lang) for x in left.dictionaries] == [("EN", "SW")]
        assert number in {x.glossary_id for x in translator.list_multilingual_glossaries()}
        translator.delete_multilingual_glossary(left)
        with pytest.raises(deepl.GlossaryNotFoundException):
            translator.get_multilingual_glossary(number)

    def test_a_document(self, deepl: Any, translator: Any, tmp_path: Any) -> None:
        out = tmp_path / "out.md"
        (tmp_path / "in.md").write_text("# Head\n\nA *red* house.\n", "utf-8")
        status = translator.translate_document_from_filepath(
            tmp_path / "in.md", out, source_lang="EN", target_lang="DE"
        )
        assert status.done
        assert status.billed_characters == len("Head" + "A red house.")
        assert out.read_text("utf-8") == "# eng>deu Head\n\neng>deu A *red* house.\n"
        with pytest.raises(deepl.DeepLException, match="not translated"):
            translator.translate_document_upload(b"x", filename="x.exe", target_lang="DE")

    def test_refusals(self, deepl: Any, translator: Any) -> None:
        with pytest.raises(deepl.DeepLException, match="supported: ar, de"):
            translator.translate_text("x", target_lang="XX")
        with pytest.raises(deepl.DeepLException, match="style_id"):
            translator.translate_text("x", target_lang="DE", style_rule="mine")


class TestGoogle:
    """Google's client of the basic API (version 2)."""

    @pytest.fixture
    def translator(self, served: Running) -> Any:
        translate = client("google.cloud.translate_v2")
        credentials = importlib.import_module("google.auth.credentials")
        return translate.Client(
            credentials=credentials.AnonymousCredentials(),
            client_options={"api_endpoint": served.url.rstrip("/")},
        )

    def test_texts_are_html_unless_said_otherwise(self, translator: Any) -> None:
        one = translator.translate("a <b>red</b> house", target_language="de")
        assert one["translatedText"] == "eng&gt;deu a <b>red</b> house"
        assert one["detectedSourceLanguage"] == "en"
        many = translator.translate(
            ["<a", "b"], target_language="zh-CN", source_language="iw", format_="text"
        )
        assert [x["translatedText"] for x in many] == ["heb>zho <a", "heb>zho b"]
        assert "detectedSourceLanguage" not in many[0]

    def test_languages_and_detection(self, translator: Any) -> None:
        found = translator.detect_language(["Über", "over"])
        assert [(x["language"], x["confidence"]) for x in found] == [("de", 0.875), ("en", 0.875)]
        names = {x["language"]: x["name"] for x in translator.get_languages("de")}
        assert names["sw"] == "Suaheli"

    def test_refusals(self, translator: Any) -> None:
        exceptions = importlib.import_module("google.api_core.exceptions")
        with pytest.raises(exceptions.BadRequest, match="supported: ar, de"):
            translator.translate("x", target_language="xx")


class TestAzure:
    """Azure's client, version 2026-06-06 of the API."""

    @pytest.fixture
    def translator(self, served: Running) -> Any:
        text = client("azure.ai.translation.text")
        credentials = importlib.import_module("azure.core.credentials")
        key = credentials.AzureKeyCredential("whatever")
        return text.TextTranslationClient(endpoint=f"{served.url}azure", credential=key)

    def test_texts(self, translator: Any) -> None:
        found = translator.translate(
            body={
                "inputs": [
                    {"text": "Über", "targets": [{"language": "en"}, {"language": "sw"}]},
                    {
                        "text": "<b>a</b> c",
                        "language": "en",
                        "textType": "html",
                        "targets": [{"language": "de"}],
                    },
                ]
            }
        )
        first, second = found
        assert [x.text for x in first.translations] == ["deu>eng Über", "deu>swh Über"]
        assert [x.language for x in first.translations] == ["en", "sw"]
        assert (first.detected_language.language, first.detected_language.score) == ("de", 0.875)
        assert second.translations[0].text == "eng&gt;deu <b>a</b> c"
        assert second.detected_language is None

    def test_languages(self, translator: Any) -> None:
        listed = translator.get_supported_languages(scope="translation", accept_language="de")
        assert listed.translation["ar"].name == "Arabisch"
        assert listed.translation["ar"].dir == "rtl"
        assert listed.translation["sw"].native_name == "Kiswahili"

    def test_refusals(self, translator: Any) -> None:
        exceptions = importlib.import_module("azure.core.exceptions")
        with pytest.raises(exceptions.HttpResponseError, match="supported: ar, de"):
            translator.translate(body={"inputs": [{"text": "x", "targets": [{"language": "xx"}]}]})
        toned = {"inputs": [{"text": "x", "targets": [{"language": "de", "tone": "formal"}]}]}
        with pytest.raises(exceptions.HttpResponseError, match="tone is not supported"):
            translator.translate(body=toned)


def test_deep_translator_speaks_the_dialect_of_libretranslate(served: Running) -> None:
    libre = client("deep_translator").LibreTranslator
    translator = libre(source="en", target="de", api_key="whatever", custom_url=served.url)
    assert translator.translate("Hello & you") == "eng>deu Hello & you"
    assert translator.translate_batch(["one", "two"]) == ["eng>deu one", "eng>deu two"]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A file of keys, and the key in it."""
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    return path, keys.add(path, "ann", chars_per_month=60)


@pytest.fixture(scope="module")
def locked(key: tuple[Path, str]) -> Iterator[Running]:
    """A server that wants it."""
    with running(FakeTranslator(), ServeConfig(keys=str(key[0]))) as up:
        yield up


class TestKeys:
    """Every client puts its key where the door of its dialect looks for it."""

    def test_deepl(self, deepl: Any, locked: Running, key: tuple[Path, str]) -> None:
        right, wrong = (deepl.DeepLClient(k, server_url=locked.url) for k in (key[1], "wrong"))
        assert right.translate_text("x", target_lang="DE").text == "eng>deu x"
        usage = right.get_usage().character
        assert (usage.count > 0, usage.limit) == (True, 60)
        with pytest.raises(deepl.AuthorizationException):
            wrong.translate_text("x", target_lang="DE")
        with pytest.raises(deepl.QuotaExceededException):
            right.translate_text("x" * 61, target_lang="DE")

    def test_google(self, locked: Running, key: tuple[Path, str]) -> None:
        translate = client("google.cloud.translate_v2")
        exceptions = importlib.import_module("google.api_core.exceptions")
        session = importlib.import_module("requests").Session()
        session.headers["X-Goog-Api-Key"] = key[1]
        options = {"api_endpoint": locked.url.rstrip("/")}
        translator = translate.Client(_http=session, client_options=options)
        assert translator.translate("x", "de")["translatedText"] == "eng&gt;deu x"
        session.headers["X-Goog-Api-Key"] = "wrong"
        with pytest.raises(exceptions.Forbidden, match="not known"):
            translator.translate("x", "de")

    def test_azure(self, locked: Running, key: tuple[Path, str]) -> None:
        text = client("azure.ai.translation.text")
        exceptions = importlib.import_module("azure.core.exceptions")
        credential = importlib.import_module("azure.core.credentials").AzureKeyCredential
        body = {"inputs": [{"text": "x", "targets": [{"language": "de"}]}]}
        at = f"{locked.url}azure"
        right = text.TextTranslationClient(endpoint=at, credential=credential(key[1]))
        assert right.translate(body=body)[0].translations[0].text == "eng>deu x"
        wrong = text.TextTranslationClient(endpoint=at, credential=credential("wrong"))
        with pytest.raises(exceptions.ClientAuthenticationError, match="not known"):
            wrong.translate(body=body)

    def test_those_of_libretranslate(self, locked: Running, key: tuple[Path, str]) -> None:
        api = client("libretranslatepy").LibreTranslateAPI
        assert api(locked.url, api_key=key[1]).translate("x", "en", "de") == "eng>deu x"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            api(locked.url, api_key="wrong").translate("x", "en", "de")
        assert len(api(locked.url).languages()) > 5  # which needs none
        deep = client("deep_translator")
        ask = {"source": "en", "target": "de", "custom_url": locked.url}
        assert deep.LibreTranslator(api_key=key[1], **ask).translate("one") == "eng>deu one"
        with pytest.raises(deep.exceptions.AuthorizationException):
            deep.LibreTranslator(api_key="wrong", **ask).translate("one")

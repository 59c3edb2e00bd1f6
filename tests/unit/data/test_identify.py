"""The language identifier."""

import lzma
from pathlib import Path

import numpy as np
import pytest
from data_made import lines

from m4nmt.data.identify import Identifier, IdentifierError

CODES = ("deu_Latn", "eng_Latn", "fra_Latn", "rus_Cyrl")
# Standards of one language, and dialects or kin that share most of their words.
TWINS = [{"hrv_Latn", "srp_Latn"}, {"dan_Latn", "nob_Latn"}, {"zho_Hans", "zho_Hant"}]


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return Identifier.train({code: lines(code, range(200)) for code in CODES})


def accuracy(identifier: Identifier, code: str, texts: list[str]) -> float:
    return float(np.mean([found == code for found, _ in identifier.identify(texts)]))


def test_it_tells_made_languages_apart(identifier: Identifier) -> None:
    for code in CODES:
        assert accuracy(identifier, code, lines(code, range(1000, 1050))) >= 0.95


def test_among_restricts_the_answer(identifier: Identifier) -> None:
    text = lines("deu_Latn", [5000])
    assert identifier.identify(text)[0][0] == "deu_Latn"
    assert identifier.identify(text, among=("fra_Latn", "eng_Latn"))[0][0] != "deu_Latn"
    with pytest.raises(ValueError, match="none was asked for"):
        identifier.identify(text, among=("swh_Latn",))


def test_no_evidence_is_no_confidence(identifier: Identifier) -> None:
    texts = ["", "   ", "12345 !?", "日本語のテキスト", "\u200b", "\ud800"]
    found = identifier.identify(texts)
    assert [confidence for _, confidence in found] == [0.0] * len(texts)
    assert all(code in CODES for code, _ in found)
    assert identifier.identify([]) == []


def test_script_decides_first(identifier: Identifier) -> None:
    assert identifier.identify(["ъ"])[0] == ("rus_Cyrl", 1.0)
    latin = ("deu_Latn", "eng_Latn", "fra_Latn")
    assert identifier.identify(["бабу"], among=latin)[0][1] == 0.0


def test_confidence_is_a_probability(identifier: Identifier) -> None:
    texts = [line[:length] for line in lines("eng_Latn", range(50)) for length in (3, 9, 40)]
    assert all(0.0 <= confidence <= 1.0 for _, confidence in identifier.identify(texts))
    # Their consonants are those of all three; only vowels tell these languages apart.
    unsure, sure = identifier.identify(["bgd", *lines("eng_Latn", [7])])
    assert unsure[1] < 0.9 < sure[1]


def test_it_is_not_sure_of_what_cannot_be_told() -> None:
    one, other = lines("eng_Latn", range(200)), lines("eng_Latn", range(200, 400))
    twins = Identifier.train({"eng_Latn": one, "sco_Latn": other})
    found = twins.identify(lines("eng_Latn", range(400, 500)))
    assert np.mean([confidence for _, confidence in found]) < 0.7


def test_each_text_is_judged_alone(identifier: Identifier) -> None:
    texts = [*lines("eng_Latn", range(40)), "", *lines("rus_Cyrl", range(40)), "!"]
    assert identifier.identify(texts) == [identifier.identify([text])[0] for text in texts]


def test_saved_and_loaded(identifier: Identifier, tmp_path: Path) -> None:
    path = tmp_path / "identify.safetensors"
    identifier.save(path)
    first = path.read_bytes()
    again = Identifier.load(path)
    texts = lines("fra_Latn", range(20))
    assert again.identify(texts) == identifier.identify(texts)
    again.save(path)
    assert path.read_bytes() == first
    retrained = Identifier.train({code: lines(code, range(200)) for code in CODES})
    retrained.save(path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("damage", ["absent", "cut", "text", "other"])
def test_what_is_no_identifier_is_named(
    identifier: Identifier, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "identify.safetensors"
    identifier.save(path)
    raw = path.read_bytes()
    if damage == "absent":
        path.unlink()
    else:
        bad = {"cut": raw[:-5], "text": b"hello", "other": raw.replace(b"rus_Cyrl", b'ru\\",\\"Cy')}
        path.write_bytes(bad[damage])
    with pytest.raises(IdentifierError, match=r"identify\.safetensors"):
        Identifier.load(path)


@pytest.mark.slow
def test_a_hundred_real_languages(shared_data: Path) -> None:
    root = shared_data / "bible100"

    def real(split: str, code: str) -> list[str]:
        with lzma.open(root / split / f"{code}.txt.xz") as stream:
            return [line for line in stream.read().decode().split("\n") if line.strip()]

    codes = sorted(path.name.removesuffix(".txt.xz") for path in (root / "train").glob("*_*.xz"))
    assert len(codes) >= 100
    train = {}
    for code in codes:
        text = real("train", code)
        train[code] = text[:: max(1, len(text) // 2000)][:2000]
    identifier = Identifier.train(train)
    twins = set().union(*TWINS)
    right, sure, count = 0, 0.0, 0
    for code in codes:
        texts = real("dev", code)[:100]
        found = identifier.identify(texts)
        share = np.mean([name == code for name, _ in found])
        assert share >= (0.85 if code in twins else 0.95), code
        right += sum(name == code for name, _ in found)
        sure += sum(confidence for _, confidence in found)
        count += len(texts)
    assert right / count >= 0.99
    assert abs(sure / count - right / count) < 0.01


def test_lines_under_a_wrong_language_do_not_make_it_unsure(shared_data: Path) -> None:
    pair = ("deu_Latn", "eng_Latn")
    clean = {}
    for code in pair:
        path = shared_data / f"multi30k/train.{code}.txt.xz"
        with lzma.open(path, "rt", encoding="utf-8") as stream:
            clean[code] = [next(stream) for _ in range(2500)]
    noisy = {
        code: [clean[other if i % 9 == 4 else code][i] for i in range(2000)]
        for code, other in zip(pair, reversed(pair), strict=True)
    }
    identifier = Identifier.train(noisy)
    for code in pair:
        found = identifier.identify(clean[code][2000:])
        assert np.mean([name == code and sure >= 0.98 for name, sure in found]) >= 0.9

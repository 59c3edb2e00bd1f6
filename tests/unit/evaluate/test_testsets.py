"""Where test lines come from."""

import lzma
from pathlib import Path

import pytest

from m4nmt.core.config import ConfigError
from m4nmt.data.types import Direction
from m4nmt.evaluate.testsets import choose, from_files, from_manifest

EN_DE = Direction("eng_Latn", "deu_Latn")


def test_files_are_aligned_and_blank_lines_left_out_on_both_sides(tmp_path: Path) -> None:
    src, tgt = tmp_path / "news.en.xz", tmp_path / "news.de"
    src.write_bytes(lzma.compress("one\n\nthree\u2028still\r\nfour\n".encode()))
    tgt.write_text("eins\nzwei\ndrei\n \n")
    item = from_files(src, tgt, EN_DE)
    assert (item.name, item.direction) == ("news", EN_DE)
    assert item.read() == (["one", "three\u2028still"], ["eins", "drei"])


def test_files_of_unequal_length_are_refused(tmp_path: Path) -> None:
    src, tgt = tmp_path / "a", tmp_path / "b"
    src.write_text("1\n2\n")
    tgt.write_text("1\n")
    with pytest.raises(ConfigError, match=r"has 2 lines, .* has 1"):
        from_files(src, tgt, EN_DE).read()


def test_a_manifest_gives_the_directions_between_known_languages(shared_data: Path) -> None:
    languages = ("eng_Latn", "swh_Latn", "fra_Latn", "xho_Latn")
    sets = from_manifest("tico19", "test", languages, str(shared_data))
    assert len(sets) == 6  # Xhosa is not in it
    english = next(s for s in sets if str(s.direction) == "eng_Latn-swh_Latn")
    french = next(s for s in sets if str(s.direction) == "eng_Latn-fra_Latn")
    assert len(english.read()[0]) == len(english.read()[1]) == 2100
    assert len(french.read()[0]) < 2100  # a few hundred of its lines are blank
    with pytest.raises(ConfigError, match="no test corpus with two languages"):
        from_manifest("tico19", "test", ["eng_Latn"], str(shared_data))


def test_directions_are_chosen_by_pattern_in_order() -> None:
    pairs = ["eng_Latn-deu_Latn", "deu_Latn-eng_Latn", "eng_Latn-fra_Latn"]
    sets = [from_files(Path("x"), Path("y"), Direction.parse(pair)) for pair in pairs]
    assert choose(sets, ()) == sets
    assert choose(sets, ("eng_Latn-*",)) == [sets[0], sets[2]]
    assert choose(sets, ("*-fra_Latn", "deu*", "deu*")) == [sets[1], sets[2]]
    with pytest.raises(ConfigError, match="'spa_Latn-\\*'; there is: deu_Latn-eng_Latn"):
        choose(sets, ("eng_Latn-*", "spa_Latn-*"))

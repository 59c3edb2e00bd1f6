"""Tags go out once each, nested as they came in, whatever a translator does."""

import time
from collections.abc import Sequence
from itertools import count

import pytest
from documents_made import WAYS
from hypothesis import given, settings
from hypothesis import strategies as st

from m4nmt.documents.place import place, text_of
from m4nmt.documents.road import rounds, run
from m4nmt.documents.types import Close, Content, Item, Link, Open, Point, Rendering, Result, Unit
from m4nmt.documents.words import words

Tree = list["str | tuple[str, Tree]"]


def contents() -> st.SearchStrategy[Content]:
    leaf = st.one_of(
        st.sampled_from(["one ", "two", " three", "4", "ü", " ", "weiß. ", "日本", "{0}", "%s "]),
        st.sampled_from([("point", None), ("unit", None)]),
    )
    trees = st.recursive(
        st.lists(leaf, max_size=4), lambda inner: st.lists(leaf | inner, max_size=4), max_leaves=12
    )
    return trees.map(lambda tree: tuple(flat(tree, count())))


def flat(tree: Sequence[object], numbers: "count[int]") -> list[Item]:
    items: list[Item] = []
    for node in tree:
        number = next(numbers)
        if isinstance(node, str):
            items.append(node)
        elif isinstance(node, list):
            inside = flat(node, numbers)
            items += [Open(number, f"<{number}>"), *inside, Close(number, f"</{number}>")]
        elif node == ("point", None):
            items.append(Point(number, f"<{number}/>"))
        else:
            items.append(Unit("ACME x", f"<no>{number}</no>"))
    return items


def parents(content: Content) -> dict[str, str]:
    """The pair that each tag and point stands in; fails where tags are not nested."""
    path = ["root"]
    found = {}
    for item in content:
        if isinstance(item, Open):
            assert item.raw not in found, "twice"
            found[item.raw] = path[-1]
            path.append(item.raw)
        elif isinstance(item, Close):
            assert path.pop() == item.raw.replace("/", ""), "not nested"
        elif isinstance(item, Point):
            assert item.raw not in found, "twice"
            found[item.raw] = path[-1]
    assert path == ["root"]
    return found


def through(content: Content, render: "dict[str, str] | object") -> Result:
    assert callable(render)
    found = run(rounds([content]), lambda texts: [render(text) for text in texts])
    return found[0]


@settings(max_examples=200, deadline=None)
@given(contents(), st.sampled_from(sorted(WAYS)))
def test_no_tag_is_lost_doubled_or_crossed(content: Content, way: str) -> None:
    result = through(content, lambda text: Rendering(WAYS[way](text)))
    assert parents(result.content) == parents(content)
    units = [i.raw for i in content if isinstance(i, Unit)]
    assert sorted(i.raw for i in result.content if isinstance(i, Unit)) == sorted(units)
    before, after = text_of(content), text_of(result.content)
    assert [after.count(x) for x in ("{0}", "%s")] == [before.count(x) for x in ("{0}", "%s")]


@settings(max_examples=200, deadline=None)
@given(contents(), st.lists(st.tuples(*[st.integers(0, 40)] * 4), max_size=12))
def test_whatever_the_links(content: Content, spans: list[tuple[int, int, int, int]]) -> None:
    links = tuple(Link(a, a + b % 5, c, c + d % 5) for a, b, c, d in spans)
    result = through(content, lambda text: Rendering(f"ein {text} wort", links))
    assert parents(result.content) == parents(content)


def placed(source: Content, target: str, links: Sequence[Link] = ()) -> str:
    content, _ = place(source, target, (), links)
    return "".join(i if isinstance(i, str) else i.raw for i in content)


B, B_ = Open(1, "<b>"), Close(1, "</b>")
E, E_ = Open(2, "<i>"), Close(2, "</i>")


@pytest.mark.parametrize(
    ("source", "target", "out"),
    [
        ((B, "all of it", B_), "das alles hier", "<b>das alles hier</b>"),
        (("See ", B, "Paris", B_, " now"), "Paris jetzt sehen", "<b>Paris</b> jetzt sehen"),
        (("a ", B, "b", B_, " c ", E, "d", E_), "D a B c", "<i>D</i> a <b>B</b> c"),
        ((B, "x ", E, "y", E_, B_, " z"), "Z y x", "Z <b><i>y</i> x</b>"),
        (("eins ", B, "zwei", B_, " drei"), "one two three", "one <b>two</b> three"),
        (("a", Point(3, "|"), " b"), "A B", "A| B"),
        (("a ", Point(3, "|"), "b"), "A B", "A |B"),
        ((Point(3, "|"), "a b"), "B A", "|B A"),
        (("ice is H", B, "2", B_, "O"), "h2o ist Eis", "h<b>2</b>o ist Eis"),
        (("H2O, H", B, "2", B_, "O"), "H2O und H2O", "H2O und H<b>2</b>O"),
        (("the 1", B, "st", B_, " day"), "le 1er jour", "le 1<b>er</b> jour"),
        (("un", B, "seen", B_, " it"), "it unseen", "it un<b>seen</b>"),
        (("a", B, "2", B_, "b", E, "3", E_), "a2b3", "a<b>2</b>b<i>3</i>"),
        (("a b", Point(3, "|")), "B A", "B A|"),
    ],
)
def test_places_without_alignment(source: Content, target: str, out: str) -> None:
    assert placed(source, target) == out


def test_alignment_outweighs_order() -> None:
    source: Content = ("the ", B, "red", B_, " house ", E, "burns", E_)
    target = "brennt das rote Haus"
    spans = [(14, 19, 0, 6), (0, 3, 7, 10), (3, 7, 10, 13), (4, 7, 13, 15), (8, 13, 16, 20)]
    links = [Link(*span) for span in spans]
    assert placed(source, target, links) == "<i>brennt</i> das <b>rote</b> Haus"
    assert placed(source, target) != placed(source, target, links)


def test_one_stray_link_does_not_stretch_a_tag() -> None:
    source: Content = ("a b c d e ", B, "f", B_)
    target = "f A B C D E"
    spans = [(10, 11, 0, 1), *((2 * i, 2 * i + 1, 2 * i + 2, 2 * i + 3) for i in range(5))]
    links = [Link(*x) for x in [*spans, (10, 11, 10, 11)]]
    assert placed(source, target, links) == "<b>f</b> A B C D E"


def one_to_one(source: Content, target: str, of: Sequence[int]) -> str:
    """Placed where the target's words belong to the source's words with numbers `of`."""
    ours, theirs = words(text_of(source)), words(target)
    links = [Link(*ours[i], *span) for i, span in zip(of, theirs, strict=True) if i >= 0]
    return placed(source, target, links)


def test_a_large_pair_leaves_a_small_one_its_word() -> None:
    source: Content = (B, "a b c d", B_, " ", E, "e", E_)
    assert one_to_one(source, "A B E C D", [0, 1, 4, 2, 3]) == "<b>A B</b> <i>E</i> C D"


def test_a_pair_stays_in_its_pair() -> None:
    source: Content = (B, "x y ", E, "z", E_, B_, " p q")
    out = one_to_one(source, "Z P Q X Y", [2, 3, 4, 0, 1])
    assert out == "Z P Q <b>X <i>Y</i></b>"


def test_parts_around_a_lost_placeholder() -> None:
    given: list[str] = []

    def render(text: str) -> Rendering:
        given.append(text)
        return Rendering(text.replace("{0}", "").upper())

    result = through(("Delete {0} of ", B, "my files", B_, "?"), render)
    assert "".join(i if isinstance(i, str) else i.raw for i in result.content) == (
        "DELETE {0} OF <b>MY FILES</b>?"
    )
    assert given == ["Delete {0} of my files?", "Delete", "of my files?"]
    assert "placeholder" in result.doubt


@pytest.mark.parametrize(("bent", "kept"), [("{ 0 }", "{0}"), ("% S", "%s"), ("｛0｝", "{0}")])
def test_a_bent_placeholder_is_mended(bent: str, kept: str) -> None:
    result = through((f"open {kept} now",), lambda text: Rendering(f"jetzt {bent} auf"))
    assert result.content == (f"jetzt {kept} auf",)
    assert not result.doubt


@pytest.mark.parametrize(
    "text",
    ["%(name)s %1$s %d {0} {{x}} ${x} $name %%", "https://a.org/b?c=d#e, a.b+c@d.org www.x.org"],
)
def test_placeholders_come_out_letter_by_letter(text: str) -> None:
    result = through((f"see {text} here",), lambda t: Rendering(t.upper()))
    for word in text.replace(",", "").split():
        assert word in text_of(result.content), word


def test_time_grows_with_the_size_only() -> None:
    items: list[Item] = []
    for i in range(20_000):
        items += [Open(i, ""), f"word{i} ", Close(i, "")]
    target = " ".join(f"word{i}" for i in range(20_000, 0, -1))
    begin = time.process_time()
    content, _ = place(tuple(items), target, ())
    assert time.process_time() - begin < 5
    assert len([i for i in content if isinstance(i, Open)]) == 20_000

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import data_made
import numpy as np
import pytest
from fake_store import FakeStore, data_config

from m4nmt.cli.main import main
from m4nmt.core.config import override, to_dict
from m4nmt.core.names import recipe
from m4nmt.data import overview
from m4nmt.data.picture import Picture, page
from m4nmt.data.prepare import prepare
from m4nmt.data.settings import Temperature, Weights


def picture(sizes: list[int], mixture: object = None) -> Picture:
    rows = overview.table(FakeStore(sizes), data_config(mixture or Temperature()), 100)
    return Picture.of("a <name>", rows)


def curves(html: str) -> list[list[float]]:
    """The heights of all curves: of each panel the recipe's own, then the temperature's."""
    svgs = html[html.index("<body>") :].split('<div class="legend">')[0]
    found = re.findall(r'<polyline class="\w+" points="([^"]+)"/>', svgs)
    return [[float(place.split(",")[1]) for place in line.split()[::2]] for line in found]


def test_shares_are_those_of_the_formula() -> None:
    made = picture([10, 1000, 100_000, 0])
    assert [row.size for row in made.rows] == [100_000, 1000, 10, 0]
    for T, shares in made.by_temperature.items():
        expected = np.array([1e5, 1e3, 10.0]) ** (1 / T)
        np.testing.assert_allclose(shares, [*(expected / expected.sum()), 0])
    assert made.to_json()[0]["by_temperature"] == {
        f"{T:g}": float(s[0]) for T, s in made.by_temperature.items()
    }


def test_the_page_shows_three_panels_side_by_side_on_the_same_axes() -> None:
    html = page(picture([10, 1000, 100_000]))
    assert re.findall(r"aria-label=\"[^\"]*(T = \d+)\"", html) == ["T = 1", "T = 5", "T = 100"]
    lines = curves(html)
    assert len(lines) == 6
    own, shares = lines[::2], lines[1::2]
    assert own[0] == own[1] == own[2] == pytest.approx(shares[1], abs=2.5)  # T = 5 is the default
    spread = [line[-1] - line[0] for line in shares]  # downwards: the largest is on the left
    assert spread[0] == pytest.approx(5 * spread[1], rel=0.02)
    assert spread[0] > spread[1] > spread[2] > 0
    ticks = [re.findall(r'class="tick"[^>]*>([^<]+)<', part) for part in html.split("<figure>")[1:]]
    assert ticks[0] == ticks[1] == ticks[2]
    assert "100%" in ticks[0]


def test_the_page_needs_nothing_else_and_is_well_formed() -> None:
    html = page(picture([10, 1000, 100_000]))
    assert "a &lt;name&gt;" in html
    assert not re.search(r"https?:|<script|url\(|@import|\{\{", html)
    body = html[html.index("<body>") : html.index("</body>") + 7]
    ElementTree.fromstring(body)


def test_many_directions_are_thinned_out() -> None:
    made = picture(list(range(1, 16_000)))
    html = page(made)
    assert len(html) < 300_000
    assert "15,699 more" in html
    assert all(len(line) <= 400 for line in curves(html))


def test_a_direction_that_is_never_drawn_falls_to_the_floor() -> None:
    html = page(picture([10, 1000, 100_000], Weights(weights={"s00002*": 1.0})))
    own = curves(html)[0]
    assert own[1] == own[2] > curves(html)[1][2]


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, changes = tmp_path / "run", ["data.directions.languages=[]", "data.tokenizer.vocab=400"]
    changes.append(f"data.manifest={data_made.small(tmp_path)}")
    given = ["debug", "--run", str(run), *(word for c in changes for word in ("--set", c))]
    assert main(["mixture", *given]) == 1
    assert "run m4nmt prepare" in capsys.readouterr().err
    config = override(recipe("debug")(), changes)
    prepare(config.data, run / "data")
    html = tmp_path / "mixture.html"
    capsys.readouterr()
    assert main(["mixture", *given, "--html", str(html), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 6
    assert found[0]["by_temperature"]["1"] == pytest.approx(1 / 6, rel=0.1)
    assert "debug: the mixture" in html.read_text()
    assert main(["mixture", str(run)]) == 2
    assert "was prepared, not trained" in capsys.readouterr().err
    # and of a run folder, without its recipe
    (run / "config.json").write_text(json.dumps(to_dict(config)))
    assert main(["mixture", str(run), "--set", "data.mixture.T=1"]) == 0
    assert "6 directions" in capsys.readouterr().out

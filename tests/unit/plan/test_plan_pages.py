"""What people see: the verb, its JSON, the page, and that a plan explains itself."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from model_made import config
from plan_held import run, wider

from m4nmt.cli.main import main
from m4nmt.parallel.settings import ParallelConfig, Recompute
from m4nmt.plan.draw import lanes, svg
from m4nmt.plan.estimate import plan
from m4nmt.plan.html import page
from m4nmt.plan.job import Machine
from m4nmt.plan.memory import KINDS
from m4nmt.plan.search import Found
from m4nmt.plan.simulate import Times, simulate
from m4nmt.plan.words import explain, number, size, span

DEBUG = ["debug", "--devices", "1", "--search", "2"]


def test_verb_prints_a_plan(capsys: Any) -> None:
    assert main(["plan", *DEBUG]) == 0
    said = capsys.readouterr().out
    for word in ("parameters", "Memory by pipeline rank", "target tokens/s", "It fits"):
        assert word in said


def test_json_is_for_programs(capsys: Any) -> None:
    assert main(["plan", *DEBUG, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    own = told["plan"]
    assert own["fits"]
    assert own["parameters"] == own["active_parameters"]
    assert set(own["devices"][0]["bytes"]) == {*KINDS, "total"}
    assert len(told["best"]) == 2


def test_a_layout_that_cannot_run_is_told_and_another_offered(capsys: Any) -> None:
    options = ["debug", "--devices", "2", "--set", "parallel.replicate=3", "--search", "1"]
    assert main(["plan", *options]) == 1
    said = capsys.readouterr().out
    assert "cannot run" in said
    assert "Best layouts" in said


def test_a_model_that_does_not_fit_exits_with_one(capsys: Any) -> None:
    assert main(["plan", "debug", "--memory", "0.0001", "--search", "0"]) == 1
    assert "does not fit" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--devices", "0"], ["--memory", "-1"], ["--flops", "x"]])
def test_wrong_numbers_are_wrong_use(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "debug", *wrong])
    assert stopped.value.code == 2


def test_page_stands_alone(tmp_path: Path) -> None:
    target = tmp_path / "plan.html"
    assert main(["plan", *DEBUG, "--html", str(target)]) == 0
    text = target.read_text("utf-8")
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", text)
    assert "{{" not in text
    assert "<script" not in text


def _drawn(pipeline: int, pieces: int) -> ElementTree.Element:
    line = simulate("1f1b", pipeline, 1, pieces, Times.even(pipeline))
    return ElementTree.fromstring(svg(line))


def test_drawing_has_a_box_for_every_action() -> None:
    drawn = _drawn(4, 6)
    boxes = drawn.findall("g")
    assert len(boxes) == 4 * 6 * 2
    titles = [box.findtext("title", "") for box in boxes]
    assert len({title.split(":")[0] + title.split()[6] for title in titles}) == len(boxes)
    assert {title.split(",")[0] for title in titles} == {f"device {k}" for k in range(4)}
    assert sum(box.get("class", "").startswith("f") for box in boxes) == 4 * 6
    ends = [
        float(r.get("x", 0)) + float(r.get("width", 0))
        for box in boxes
        for r in box.findall("rect")
    ]
    assert max(ends) == pytest.approx(1120, abs=0.1)


def test_a_long_pipeline_is_drawn_in_part() -> None:
    line = simulate("gpipe", 500, 1, 100, Times.even(500))
    chosen = lanes(line)
    assert chosen[0] == 0
    assert chosen[-1] == 499
    assert len(chosen) * 200 <= 6000
    assert len(svg(line)) < 3_000_000


def test_names_are_escaped() -> None:
    made = plan(run(wider(config()), ParallelConfig()), Machine())
    nasty = replace(made, job=replace(made.job, name="<b>&"))
    text = page(nasty, Found(failed=Counter({"a < b": 1})))
    assert "<b>&</h1>" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "a &lt; b" in text


def test_it_explains_what_limits_it() -> None:
    few = run(wider(config(n=4, m=4)), ParallelConfig(pipeline=4, microbatches=4))
    words = " ".join(explain(plan(few, Machine(devices=4, launch=0.0))))
    assert "More micro-batches would help" in words
    tight = " ".join(explain(plan(few, Machine(devices=4, memory=1e6))))
    assert "does not fit" in tight


def test_it_explains_what_zero_and_gpipe_cost_in_a_pipeline() -> None:
    laid = ParallelConfig(
        pipeline=2, shard=2, microbatches=8, schedule="gpipe", precision="bf16", zero=3
    )
    made = run(replace(wider(config(n=4, m=4)), dim=128), laid)
    blocks = replace(made.data.blocks, tokens=16 * 8, max_length=8, rows_multiple=16)
    made = replace(made, data=replace(made.data, blocks=blocks))

    def said(**changed: Any) -> str:
        parallel = replace(laid, **changed)
        return " ".join(explain(plan(replace(made, parallel=parallel), Machine(devices=4))))

    assert "its own bf16 copies" in said()
    assert "its own bf16 copies" not in said(zero=1)
    assert "its own bf16 copies" not in said(remat=Recompute())
    assert "a second time" in said()
    assert "a second time" not in said(schedule="1f1b")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (size(3 * 2**30), "3.0 GiB"),
        (size(2000 * 2**40), "2,000.0 TiB"),
        (size(10), "0.0 KiB"),
        (number(83.9e9), "83.9 B"),
        (number(12), "12"),
        (span(0.5), "0.50 s"),
        (span(86_400 * 3), "3.0 days"),
        (span(0.001), "1.00 ms"),
    ],
)
def test_numbers_for_people(said: str, meant: str) -> None:
    assert said == meant

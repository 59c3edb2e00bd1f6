"""The web page in a browser: files, suggestions, code, keys, colours, narrow screens."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from browser import Browser
from web_helpers import LARGEST
from web_tab import MARKS, Tab, tabs

pytestmark = MARKS
DROP = """(() => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([%s], %s, { type: "text/plain" }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const how = { dataTransfer: transfer, bubbles: true, cancelable: true };
    $("q").dispatchEvent(new DragEvent(kind, how));
    if (kind === "dragenter" && $("drop").hidden) throw new Error("it does not show where to drop");
  }
})()"""


@pytest.fixture(scope="module", name="tab")
def _tab() -> Iterator[Tab]:
    yield from tabs()


def drop(tab: Tab, name: str, text: str) -> None:
    tab(DROP % (json.dumps(text), json.dumps(name)))


def test_a_dropped_file_comes_back_translated(tab: Tab) -> None:
    tab.open()
    drop(tab, "busy häus.txt", "Words.")
    tab.shows("busy häus.txt in German is ready.Download busy häus.txt", "got")
    assert tab.server.files == [("busy häus.txt", "Words.", "de")]
    link = "$('got').querySelector('a')"
    assert tab(f"{link}.download") == "busy häus.txt"
    assert tab(f"new Response({link}.href).text().then((url) => url.startsWith('blob:'))")
    assert tab("$('drop').hidden")
    assert tab("$('cancel').hidden")
    assert tab("$('file').accept") == ".txt,.md"


def test_files_that_cannot_be_translated_are_not_sent(tab: Tab) -> None:
    tab.open()
    drop(tab, "movie.mp4", "x")
    tab.shows("Movie.mp4 cannot be translated here. What can: .txt, .md.", "alert")
    drop(tab, "large.txt", "x" * (LARGEST + 1))
    tab.wait("$('alert').textContent.startsWith('Large.txt has 0 MB')")
    assert tab.server.files == []


def test_a_better_translation_is_kept(tab: Tab) -> None:
    tab.open(text="The cat sleeps.")
    tab.shows("SLEEPS CAT THE.")
    tab.click("suggest")
    assert tab("[document.activeElement.id, $('mine').value, $('mine').lang]") == [
        "mine",
        "SLEEPS CAT THE.",
        "de",
    ]
    tab("$('mine').select()")
    tab.browser.type("Die Katze schläft.")
    tab.click("send")
    tab.shows("Thank you: your translation is kept on this server.", "state")
    assert tab.server.asked("/v1/suggestions") == [
        {
            "text": "The cat sleeps.",
            "translation": "Die Katze schläft.",
            "source": "en",
            "target": "de",
            "machine": "SLEEPS CAT THE.",
        }
    ]
    assert tab("[$('better').hidden, document.activeElement.id]") == [True, "suggest"]


def test_the_code_for_programs_runs(tab: Tab) -> None:
    tab.open(text='It\'s "so" 🙂 \\ $HOME.').wait("shown")
    wanted = tab.text("out")
    curl = tab.text("snippet")
    tab.click("python")
    assert tab("$('python').getAttribute('aria-selected')") == "true"
    done = subprocess.run(
        [sys.executable, "-c", tab.text("snippet")],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == wanted
    if shutil.which("curl"):
        shell = subprocess.run(["sh", "-c", curl], capture_output=True, check=True, timeout=60)
        assert json.loads(shell.stdout)["translations"][0]["options"][0]["text"] == wanted


def test_a_key_is_asked_for_and_sent(tab: Tab) -> None:
    tab.open(text="a").wait("shown")
    assert tab("$('keybox').hidden")
    assert tab.server.keys == [""]
    tab.server.settings["keyRequired"] = True
    tab.open(text="a", keep=True)
    assert tab("$('keybox').hidden") is False
    tab("$('key').focus()")
    tab.browser.type("s3cret")
    tab.click("keysave")
    tab.wait("shown")
    tab.type("b")
    tab.shows("B")
    assert tab.server.keys[-1] == "Bearer s3cret"
    assert "s3cret" not in tab.text("snippet")
    assert "Bearer YOUR_KEY" in tab.text("snippet")


def test_dark_and_light_can_be_switched(tab: Tab) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(245, 244, 240)", "rgb(18, 22, 21)"
    tab.open()
    assert tab(ground) == light
    tab.click("theme")
    assert (tab(ground), tab("$('theme').getAttribute('aria-pressed')")) == (dark, "true")
    tab.open(keep=True)
    assert tab(ground) == dark
    tab.click("theme")
    assert tab(ground) == light
    assert tab("kept.get('theme')") is None  # the system's own way again


@pytest.mark.parametrize(
    ("width", "dark"), [(1280, False), (1280, True), (360, False), (360, True)]
)
def test_it_can_be_read_everywhere(tab: Tab, width: int, dark: bool) -> None:
    with Browser(width, 700, dark=dark) as browser:
        here = Tab(browser, tab.server)
        for text in ("w" * 300, "This is odd. " * 12 + "Yes."):
            here.open("auto/de", text).wait("shown")
            here("warn('w'.repeat(300), 'Try again', () => 1), got('a.txt', 'b.txt', new Blob())")
            here("lightTarget(0), $('hint').hidden = false")
            here("document.querySelector('details').open = true")
            here("showParts([shown.parts[0]]), $('keybox').hidden = false")
            assert here("document.documentElement.scrollWidth") <= width
            assert browser.contrast() >= 4.5
            here("openWords(0)")
            here.wait("$('wordlist').children.length")
            assert browser.contrast() >= 4.5
            assert here("$('words').getBoundingClientRect().right") <= width
            here("closeWords(), openSuggestion()")
            assert browser.contrast() >= 4.5
            here("choose('target')")
            assert browser.contrast() >= 4.5
            assert here("document.documentElement.scrollWidth") <= width


def test_everything_has_a_name_and_the_tab_key_reaches_it(tab: Tab) -> None:
    tab.open(text="This is odd. Is it?").wait("shown")
    tab("$('skip').focus()")
    reached = []
    for _ in range(40):
        tab.press("Tab")
        name = tab(
            "((e) => e.id || e.closest('[id]')?.id)(document.activeElement || document.body)"
        )
        if name in (None, "skip"):
            break
        reached.append(name)
    for control in ("theme", "source", "swap", "target", "q", "clear", "pickfile", "go", "out"):
        assert control in reached
    for control in ("notes", "more", "suggest", "copy", "share"):
        assert control in reached
    unnamed = tab(
        "[...document.querySelectorAll('button, textarea, input, dialog, a, [role=listbox]')]"
        ".filter((x) => !(x.ariaLabel || x.labels?.length || x.textContent.trim()"
        " || x.getAttribute('aria-labelledby'))).map((x) => x.outerHTML)"
    )
    assert unnamed == []

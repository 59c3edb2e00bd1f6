// Other words for one word of the translation: a list box beside it; what is chosen rewrites the
// rest of its sentence.

const WORDS = 6;
let asking = null; // {controller, word, part}
let here = 0; // the option that keys act on

async function openWords(n) {
  closeWords();
  const word = shown.words[n], part = partAt(word.begin);
  if (!part) return;
  goTo(n);
  asking = { controller: new AbortController(), word, part };
  const mine = asking;
  $("wordshead").replaceChildren(t("Looking for other words …"));
  $("wordlist").replaceChildren();
  $("words").hidden = false;
  place(word.element);
  $("wordlist").focus({ preventScroll: true });
  try {
    const body = {
      text: shown.input.slice(part.from, part.to), source: spoken().code, target: target.code,
      prefix: shown.text.slice(part.begin, word.begin), n: WORDS,
    };
    const { words } = await post("v1/words", body, mine.controller.signal);
    if (asking === mine) offer(words, word, part);
  } catch (error) {
    if (asking !== mine || error.name === "AbortError") return;
    $("wordshead").replaceChildren(t("No other words: {message}", { message: error.message }));
    announce($("wordshead").textContent);
  }
}
function offer(words, word, part) {
  const old = shown.text.slice(word.begin, word.end);
  const rest = shown.text.slice(word.begin, part.end);
  const others = words.filter((x) => x.word.trim() !== old && shown.text.slice(part.begin, part.end) !== x.text);
  $("wordshead").replaceChildren(...(others.length ? around("Instead of {word}", { word: isolated(old) }) : [t("The model has no other word here.")]));
  if (!others.length) announce(t("The model has no other word here."));
  here = 0;
  $("wordlist").replaceChildren(...others.map((x, i) => {
    const after = x.text.slice(word.begin - part.begin);
    const item = make("li", { id: `other${i}`, className: i ? "" : "here", choice: x, onclick: () => rewrite(x) }, isolated(x.word.trim()));
    if (x.confidence != null) item.append(make("span", { title: t("How sure the model is of the sentence that follows") }, percent(x.confidence)));
    if (after !== rest && after.trim() !== x.word.trim()) item.append(make("small", { dir: heading(target) }, after));
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", i === 0);
    return item;
  }));
  markOption();
  place(word.element);
}
function markOption() {
  [...$("wordlist").children].forEach((item, i) => {
    item.classList.toggle("here", i === here);
    item.setAttribute("aria-selected", i === here);
    if (i === here) { $("wordlist").setAttribute("aria-activedescendant", item.id); item.scrollIntoView({ block: "nearest" }); }
  });
  if (!$("wordlist").children.length) $("wordlist").removeAttribute("aria-activedescendant");
}
/** Below the word, inside of the window. */
function place(element) {
  const box = $("words"), at = element.getBoundingClientRect();
  const left = Math.max(12, Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 12));
  box.style.left = `${left + scrollX}px`;
  box.style.top = `${at.bottom + scrollY + 6}px`;
}
function closeWords(focus = false) {
  asking?.controller.abort();
  asking = null;
  if ($("words").hidden) return;
  $("words").hidden = true;
  if (focus) $("out").focus({ preventScroll: true });
  else if (shown) goTo(-1);
}

/** Put a chosen word and what follows it in the place of a sentence. */
function rewrite(choice) {
  const { part, word } = asking, before = shown;
  const more = choice.text.length - (part.end - part.begin);
  const text = before.text.slice(0, part.begin) + choice.text + before.text.slice(part.end);
  const mended = { ...part, end: part.end + more, option: { text: choice.text, confidence: choice.confidence } };
  const moved = (x) => ({ ...x, begin: x.begin + more, end: x.end + more });
  const parts = before.parts.map((x) => (x === part ? mended : x.begin >= part.end ? moved(x) : { ...x }));
  const links = before.links.filter((x) => x.end <= word.begin || x.begin >= part.end)
    .map((x) => (x.begin >= part.end ? moved(x) : x));
  undos.push(before);
  display(linked({ ...before, text, parts, links }));
  drawChoices(before.input);
  $("out").focus({ preventScroll: true });
  announce(t("Changed to: {text}", { text: choice.text }));
  realign(mended);
}
/** Ask where the words of a sentence written by choice come from. */
async function realign(part) {
  const mine = shown, input = mine.input.slice(part.from, part.to);
  try {
    const answer = await post("v1/translate", {
      texts: [input], source: spoken().code, target: target.code, prefix: part.option.text,
      split: false, align: true, token_scores: true,
    });
    const [option] = answer.translations[0].options;
    if (shown !== mine || !option || option.text !== part.option.text) return;
    const from = units(input), to = units(option.text);
    const links = (option.alignment || []).map(({ source: s, target: t }) => ({
      from: from(s[0]) + part.from, to: from(s[1]) + part.from, begin: to(t[0]) + part.begin, end: to(t[1]) + part.begin,
    }));
    const others = mine.links.filter((x) => x.end <= part.begin || x.begin >= part.end);
    const parts = mine.parts.map((x) => (x === part ? { ...part, option: { ...option, confidence: part.option.confidence ?? option.confidence } } : x));
    const at = current;
    display(linked({ ...mine, parts, links: [...others, ...links] }));
    if (at >= 0) goTo(at);
  } catch { /* without it the words before the choice keep their links, the others have none */ }
}
function wireWords() {
  $("wordlist").onkeydown = (event) => {
    const n = $("wordlist").children.length;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && n) { here = (here + step + n) % n; markOption(); }
    else if (event.key === "Home" || event.key === "End") { here = event.key === "Home" ? 0 : n - 1; markOption(); }
    else if (event.key === "Enter" && n) rewrite($("wordlist").children[here].choice);
    else if (event.key === "Escape") closeWords(true);
    else if (event.key === "Tab") { closeWords(true); return; }
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  addEventListener("pointerdown", (event) => {
    if (!$("words").hidden && !$("words").contains(event.target)) closeWords();
  });
  addEventListener("resize", () => closeWords());
}

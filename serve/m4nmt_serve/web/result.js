// The translation: what the server said, as sentences and words on the page.

const NEAR = 10; // words that are shown around a difference
const UNSURE = 0.4; // confidence of a sentence below which a person should look at it
const MARKS = {
  truncated: () => t("It may be cut off: the translation reached its length limit."),
  empty: () => t("It came out empty."),
  repeats: () => t("It says the same thing again and again."),
  length: () => t("It is much longer or shorter than its source."),
  language: () => t("It may be in another language than you asked for."),
  required: () => t("It lacks a term that was asked for."),
  retried: () => t("It was translated a second time, because the first attempt looked wrong."),
};
const MINOR = new Set(["retried"]); // nothing that a person must look at
// {text, input, parts, words, sources, option, machine}: `parts` are sentences, [begin, end) in the
// translation and [from, to) in the input; `words` know the numbers of their words in `sources`.
let shown = null;
let choices = []; // the n best whole translations
let undos = []; // what was shown before each change by hand

/** Sentences of an answer, found again in the whole translation; one for all where that fails. */
function partsOf(text, input, sentences) {
  const parts = [];
  const from = units(input);
  let at = 0;
  for (const { source: [b, e], translation } of sentences) {
    const begin = text.indexOf(translation.text, at);
    if (begin < 0) return null;
    at = begin + translation.text.length;
    parts.push({ begin, end: at, from: from(b), to: from(e), option: translation });
  }
  return parts.length ? parts : null;
}

function compose(option, input, sentences = []) {
  const parts = partsOf(option.text, input, sentences)
    || [{ begin: 0, end: option.text.length, from: 0, to: input.length, option }];
  const from = units(input), to = units(option.text);
  const links = (option.alignment || []).map(({ source: s, target: t }) => ({ from: from(s[0]), to: from(s[1]), begin: to(t[0]), end: to(t[1]) }));
  return linked({ text: option.text, input, parts, links, option, machine: option.text });
}

/** Words of both texts, and which belong together. */
function linked(result) {
  result.words = wordsOf(result.text, target.code).map((word) => ({ ...word, sources: new Set() }));
  result.sources = wordsOf(result.input, spoken().code).map((word) => ({ ...word, targets: new Set() }));
  for (const { from, to, begin, end } of result.links) {
    const [a, b] = overlapping(result.words, begin, end), [c, d] = overlapping(result.sources, from, to);
    for (let t = a; t < b; t++) {
      for (let s = c; s < d; s++) {
        result.words[t].sources.add(s);
        result.sources[s].targets.add(t);
      }
    }
  }
  for (const part of result.parts) sureness(result, part);
  return result;
}

/** The smallest probability of a piece of each word, where pieces can be found in the text. */
function sureness(result, part) {
  let at = part.begin;
  for (const { text, score } of part.option.tokens || []) {
    const piece = text.replaceAll("\u2581", "");
    const begin = piece ? result.text.indexOf(piece, at) : -1;
    if (begin < 0 || begin > at + 2 || begin + piece.length > part.end) continue;
    at = begin + piece.length;
    const [first, last] = overlapping(result.words, begin, at);
    for (const word of result.words.slice(first, last)) word.sure = Math.min(word.sure ?? 1, Math.exp(score));
  }
}

/** A text with its words as elements. */
function spans(text, words, begin, end, from) {
  const nodes = [];
  let at = begin;
  for (let n = from; n < words.length && words[n].end <= end; n++) {
    if (words[n].begin > at) nodes.push(text.slice(at, words[n].begin));
    words[n].element = make("span", { className: "word", word: n }, text.slice(words[n].begin, words[n].end));
    nodes.push(words[n].element);
    at = words[n].end;
  }
  if (at < end) nodes.push(text.slice(at, end));
  return nodes;
}

const unsure = (part) => part.option.confidence != null && part.option.confidence < UNSURE;

/** Show a composed translation. */
function display(result) {
  closeWords();
  shown = result;
  const nodes = [];
  let at = 0;
  for (const part of result.parts) {
    nodes.push(result.text.slice(at, part.begin));
    const serious = (part.option.marks || []).some((mark) => !MINOR.has(mark));
    part.element = make("span", { className: unsure(part) || serious ? "part doubt" : "part" });
    part.element.append(...spans(result.text, result.words, part.begin, part.end, overlapping(result.words, part.begin, part.end)[0]));
    nodes.push(part.element);
    at = part.end;
  }
  $("out").replaceChildren(...nodes, result.text.slice(at));
  if ($("q").value === result.input) {
    $("behind").replaceChildren(...spans(result.input, result.sources, 0, result.input.length, 0), "\u200b");
  }
  result.words.forEach((word, n) => { word.element && (word.element.id = `w${n}`); });
  current = -1;
  drawNotes();
  drawHint();
  $("copy").disabled = $("suggest").disabled = !result.text;
  $("undo").hidden = !undos.length;
}

/** Sentences that came so far, of a translation that is still being made. */
function displaySoFar(sentences, input) {
  const from = units(input), nodes = [];
  let last = null;
  for (const sentence of sentences) {
    const next = sentence.sentence === (last ? last.sentence + 1 : 0);
    nodes.push(next ? input.slice(last ? from(last.source[1]) : 0, from(sentence.source[0])) : last ? " … " : "… ");
    nodes.push(sentence.translation.text);
    last = sentence;
  }
  $("out").replaceChildren(...nodes, " …");
}

function clearResult() {
  closeWords();
  shown = null;
  choices = [];
  undos = [];
  current = -1;
  for (const id of ["out", "notes", "hint", "more"]) $(id).replaceChildren();
  closeSuggestion(false);
  $("notes").hidden = $("others").hidden = $("undo").hidden = true;
  $("took").textContent = "";
  $("copy").disabled = $("suggest").disabled = true;
}

// --- what a person should look at ---
function drawNotes() {
  const groups = new Map();
  const note = (key, part) => groups.set(key, [...(groups.get(key) || []), part]);
  for (const part of shown.parts) {
    for (const mark of part.option.marks || []) note(mark, part);
    if (unsure(part)) note("unsure", part);
  }
  for (const mark of shown.option.marks || []) if (!groups.has(mark)) note(mark, null);
  $("notes").hidden = !groups.size;
  $("notes").replaceChildren(...[...groups].map(([key, parts]) => noted(key, parts.filter(Boolean))));
}
function noted(key, parts) {
  const item = make("li", { className: MINOR.has(key) ? "minor" : "" });
  const what = key === "unsure" ? unsureText(parts) : MARKS[key]?.() || t("The server marked it as “{mark}”.", { mark: key });
  if (shown.parts.length === 1 || !parts.length) {
    item.append(what);
    return item;
  }
  const numbers = parts.slice(0, 5).map((part) => number(shown.parts.indexOf(part) + 1)).join(", ");
  const where = t("Sentence {numbers}", { numbers: parts.length > 5 ? `${numbers} …` : numbers });
  item.append(make("button", { type: "button", title: t("Show"), onclick: () => showParts(parts) }, `${where}: ${what}`));
  return item;
}
const unsureText = (parts) => t("The model is only {percent} sure of it.", { percent: percent(Math.min(...parts.map((part) => part.option.confidence))) });
function showParts(parts) {
  for (const part of shown.parts) part.element.classList.toggle("shown", parts.includes(part));
  parts[0].element.scrollIntoView({ block: "nearest" });
}

// --- whole alternatives ---
function drawChoices(input) {
  const others = choices.filter((choice) => choice.text !== shown.text);
  $("others").hidden = !others.length;
  $("more").replaceChildren(...others.map((choice) => make("li", {}, make("button", {
    type: "button", title: t("Use this one"),
    onclick: () => {
      undos.push(shown);
      display(compose(choice, input));
      drawChoices(input);
      announce(t("Changed to: {text}", { text: choice.text }));
      $("out").focus();
    },
  }, ...difference(choice.text, shown.text)))));
}
/** A text as nodes: what differs from another is marked, what is alike far from it left out. */
function difference(text, other) {
  const words = wordsOf(text, target.code), theirs = wordsOf(other, target.code);
  const same = (i, j) => text.slice(words[i].begin, words[i].end) === other.slice(theirs[j].begin, theirs[j].end);
  const least = Math.min(words.length, theirs.length);
  let first = 0, last = 0;
  while (first < least && same(first, first)) first++;
  while (last < least - first && same(words.length - 1 - last, theirs.length - 1 - last)) last++;
  const middle = words.slice(first, words.length - last);
  if (!middle.length) return [text];
  const begin = middle[0].begin, end = middle.at(-1).end;
  const from = first > NEAR ? words[first - NEAR].begin : 0, to = last > NEAR ? words[words.length - 1 - last + NEAR].end : text.length;
  return [`${from ? "… " : ""}${text.slice(from, begin)}`, make("mark", {}, text.slice(begin, end)), `${text.slice(end, to)}${to < text.length ? " …" : ""}`];
}
function undo() {
  const before = undos.pop();
  if (!before) return;
  display(linked(before));
  drawChoices(before.input);
  announce(t("Undone"));
  $("out").focus();
}

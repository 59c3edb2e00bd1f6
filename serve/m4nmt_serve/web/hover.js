// Which words belong together: pointer over either text, caret in the source, arrow keys in the
// translation.

let lit = [];
let current = -1; // the word that the arrow keys are at

function light(elements) {
  for (const element of lit) element.classList.remove("lit");
  lit = elements.filter(Boolean);
  for (const element of lit) element.classList.add("lit");
}
const partAt = (position) => shown.parts.find((part) => part.begin <= position && position < part.end);
const sourceText = (n) => shown.input.slice(shown.sources[n].begin, shown.sources[n].end);
const targetText = (n) => shown.text.slice(shown.words[n].begin, shown.words[n].end);

/** What is known of a word of the translation, as text. */
function facts(n) {
  const word = shown.words[n], sentence = partAt(word.begin)?.option.confidence;
  const from = [...word.sources].sort((a, b) => a - b).map(sourceText);
  const sure = [
    word.sure == null ? "" : t("sure of the word: {percent}", { percent: percent(word.sure) }),
    sentence == null ? "" : t("of the sentence: {percent}", { percent: percent(sentence) }),
  ];
  return { from: from.join(" "), sure: sure.filter(Boolean).join(", ") };
}
function drawHint(n = -1) {
  if (!shown?.words.length) { $("hint").replaceChildren(); return; }
  if (n < 0) { $("hint").replaceChildren(matchMedia("(hover: none)").matches
      ? t("Tap a word to see where it comes from, and for other words.")
      : t("Point at a word to see where it comes from; click it for other words.")); return; }
  const { from, sure } = facts(n);
  const pair = [make("b", {}, isolated(targetText(n)))];
  if (from) pair.push(` ${backward()} `, isolated(from));
  $("hint").replaceChildren(...pair, sure ? ` · ${sure}` : "");
}
function lightTarget(n) {
  if (n < 0 || !shown) { light([]); drawHint(); return; }
  const word = shown.words[n];
  light([word.element, ...[...word.sources].map((s) => shown.sources[s].element)]);
  drawHint(n);
}
function lightSource(n) {
  if (n < 0 || !shown) { light([]); drawHint(); return; }
  const word = shown.sources[n], targets = [...word.targets].sort((a, b) => a - b);
  light([word.element, ...targets.map((t) => shown.words[t].element)]);
  if (targets.length) $("hint").replaceChildren(make("b", {}, isolated(sourceText(n))), ` ${onward()} `, isolated(targets.map(targetText).join(" ")));
  else drawHint();
}
const stale = () => !shown || shown.input !== $("q").value || $("right").classList.contains("busy");

/** Make a word of the translation the one that keys act on. */
function goTo(n) {
  shown.words[current]?.element.classList.remove("at");
  current = Math.max(-1, Math.min(shown.words.length - 1, n));
  if (current < 0) { $("out").removeAttribute("aria-activedescendant"); lightTarget(-1); return; }
  const { element } = shown.words[current];
  element.classList.add("at");
  element.scrollIntoView({ block: "nearest" });
  $("out").setAttribute("aria-activedescendant", element.id);
  lightTarget(current);
  const { from, sure } = facts(current);
  announce([targetText(current), from && t("from {words}", { words: from }), sure].filter(Boolean).join(", "));
}
function onTargetKey(event) {
  if (stale() || !shown.words.length || event.ctrlKey || event.metaKey || event.altKey) return;
  const onward = target.rtl ? "ArrowLeft" : "ArrowRight", back = target.rtl ? "ArrowRight" : "ArrowLeft";
  const last = shown.words.length - 1;
  const to = { [onward]: Math.min(current + 1, last), [back]: Math.max(current - 1, 0), Home: 0, End: last }[event.key];
  if (to !== undefined) goTo(to);
  else if ((event.key === "Enter" || event.key === " ") && current >= 0) openWords(current);
  else if (event.key === "Escape" && current >= 0) goTo(-1);
  else return;
  event.preventDefault();
}
/** The word behind a point of the text area: the areas lie upon each other. */
function sourceWordAt(x, y) {
  const element = document.elementsFromPoint(x, y).find((e) => e.classList.contains("word") && $("behind").contains(e));
  return element ? element.word : -1;
}
function wireHover() {
  $("out").onpointerover = (event) => {
    if (stale() || !$("words").hidden) return;
    const word = event.target.closest(".word");
    if (word) lightTarget(word.word); else if (current < 0) lightTarget(-1);
  };
  $("out").onpointerleave = () => { if ($("words").hidden) lightTarget(current); };
  $("out").onclick = (event) => {
    const word = event.target.closest(".word");
    if (word && !stale() && getSelection().isCollapsed) openWords(word.word);
  };
  $("out").onkeydown = onTargetKey;
  $("out").onblur = () => { if (shown && $("words").hidden) goTo(-1); };
  let frame = 0;
  $("q").onpointermove = ({ clientX, clientY }) => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => { if (!stale()) lightSource(sourceWordAt(clientX, clientY)); });
  };
  $("q").onpointerleave = () => { cancelAnimationFrame(frame); light([]); drawHint(); };
  $("q").onkeyup = (event) => { // the caret was moved: show what its word became
    if (stale() || !/^(Arrow|Home|End|Page)/.test(event.key)) return;
    const caret = $("q").selectionStart;
    const [first, last] = overlapping(shown.sources, caret, caret + 1);
    lightSource(first < last ? first : -1);
  };
}

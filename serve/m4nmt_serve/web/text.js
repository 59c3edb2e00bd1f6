// The source pane: the text, its counter, the link that holds it.

const LINK_LIMIT = 4000; // characters of a text that a link takes
const LONG = 700; // characters from which both texts are set smaller
let limit = Infinity;

/** Put a text into the source pane so that the browser's "undo" still works. */
function fillSource(text) {
  const area = $("q"), before = document.activeElement;
  area.focus({ preventScroll: true });
  area.select();
  if (!document.execCommand(text ? "insertText" : "delete", false, text) || area.value !== text) area.value = text;
  if (before !== area) before?.focus?.({ preventScroll: true });
  drawText();
}

/** All that depends on the source text alone. */
function drawText() {
  const text = $("q").value, length = count(text);
  $("count").textContent = limit === Infinity ? number(length) : `${number(length)} / ${number(limit)}`;
  $("count").classList.toggle("over", length > limit);
  $("clear").hidden = !length;
  $("board").classList.toggle("long", length > LONG);
  $("behind").replaceChildren(`${text}\u200b`); // the last, empty line too takes room
}

// --- the link: languages always, the text only when a person asks for it ---
const wellFormed = (text) => (text.toWellFormed ? text.toWellFormed() : text);

function setLink(text = "") {
  const hash = `#${source.code}/${target.code}${text ? `/${encodeURIComponent(wellFormed(text))}` : ""}`;
  if (location.hash !== hash) history.replaceState(null, "", hash);
}
function readLink() {
  const [from, to, ...rest] = location.hash.slice(1).split("/");
  if (from) source = from === "auto" ? AUTO : known(from, "source") || source;
  if (to) target = known(to, "target") || target;
  if (!rest.length) return;
  try { fillSource(decodeURIComponent(rest.join("/"))); } catch { /* a broken link: no text */ }
}
function shareLink() {
  const text = $("q").value, fits = text.length <= LINK_LIMIT;
  setLink(fits ? text : "");
  copyText($("share"), location.href);
  if (!fits) say(t("The text has more than {n} characters, which is too long for a link: the link holds the languages alone.", { n: number(LINK_LIMIT) }));
}

// A file that is dropped or picked: checked, sent, and offered for download when it is translated.

let formats = [], maxFile = Infinity;
let sending = null;

const ending = (name) => (name.includes(".") ? name.slice(name.lastIndexOf(".")).toLowerCase() : "");
const megabytes = (bytes) => `${(bytes / 1048576).toLocaleString("en", { maximumFractionDigits: 1 })} MB`;

async function translateFile(file) {
  sending?.abort();
  warn("");
  $("got").hidden = true;
  if (formats.length && !formats.includes(ending(file.name))) {
    warn(`${file.name} cannot be translated here. What can: ${formats.join(", ")}.`);
    return;
  }
  if (file.size > maxFile) {
    warn(`${file.name} has ${megabytes(file.size)}; this server takes at most ${megabytes(maxFile)}.`);
    return;
  }
  const mine = (sending = new AbortController());
  showCancel();
  say(`Translating ${file.name} …`, true);
  const form = new FormData();
  form.set("file", file);
  form.set("source", source.code);
  form.set("target", target.code);
  try {
    const { translatedFileUrl } = await (await request("translate_file", { method: "POST", body: form }, mine.signal)).json();
    await fetchFile(file.name, translatedFileUrl, mine.signal);
    say("");
  } catch (error) {
    say("");
    if (error.name !== "AbortError") warn(`${file.name}: ${error.message}`);
  } finally {
    if (sending === mine) { sending = null; showCancel(); }
  }
}
/** Wait for the file. The path is taken relative to this page, which may stand behind a proxy. */
async function fetchFile(name, url, signal) {
  const path = `download_file/${url.split("download_file/")[1]}`;
  const later = { tries: Infinity, message: () => `Translating ${name} …` };
  const blob = await (await request(path, {}, signal, later)).blob();
  got(name, decodeURIComponent(path.split("/").pop()), blob);
}
function got(name, translated, blob) {
  URL.revokeObjectURL($("got").querySelector("a")?.href);
  const link = make("a", { href: URL.createObjectURL(blob), download: translated }, `Download ${translated}`);
  $("got").replaceChildren(make("span", {}, isolated(name), ` in ${target.name} is ready.`), link);
  $("got").hidden = false;
  announce(`${name} is translated. The link to it is below the two texts.`);
}
function wireFiles() {
  const hasFile = (event) => [...(event.dataTransfer?.types || [])].includes("Files");
  let depth = 0; // dragenter and dragleave come for every child
  const over = (is) => { depth = is ? depth : 0; $("drop").hidden = !is; };
  addEventListener("dragenter", (event) => { if (hasFile(event) && formats.length) { depth++; over(true); } });
  addEventListener("dragleave", () => { if (--depth <= 0) over(false); });
  addEventListener("dragover", (event) => { if (hasFile(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault(); // a file dropped beside the board must not replace the page
    over(false);
    if (!formats.length) warn("This server does not translate files");
    else if (event.dataTransfer.files.length > 1) warn("One file at a time, please");
    else translateFile(event.dataTransfer.files[0]);
  });
  $("pickfile").onclick = () => $("file").click();
  $("file").onchange = () => {
    if ($("file").files.length) translateFile($("file").files[0]);
    $("file").value = "";
  };
}

// The seasoning: every page works without this file. Each behaviour finds its elements by data attributes
// (docs/style.md lists them); `light` may be called again on a part of a page that was replaced.

const words = {
  copied: "Copied.",
  copiedSaved: "The saved link was copied; your changes are not in effect until you save.",
  select: "Your browser did not allow copying. The text is selected: copy it with Ctrl+C, or Command+C on a Mac.",
  unsaved: "You changed something. Nothing is in effect until you save.",
  changed: (names) => `You changed ${new Intl.ListFormat("en").format(names)}. Nothing is in effect until you save.`,
  show: "Show",
  hide: "Hide",
  day: { "-1": "yesterday", 0: "today", 1: "tomorrow" },
  at: (day, time) => `${day} at ${time}`,
};

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const say = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

// Copy: <button data-copy="ID" hidden>, and <p role="status" data-said="ID"> for the answer.
function copy(root) {
  for (const button of all("[data-copy]", root)) {
    const source = document.getElementById(button.dataset.copy);
    if (!source) continue;
    const said = document.querySelector(`[data-said="${CSS.escape(source.id)}"]`);
    button.hidden = false;
    button.addEventListener("click", async () => {
      say(said, ""); // the same words again are then news to a screen reader
      let answer = button.closest("form")?.dataset.state === "dirty" ? words.copiedSaved : words.copied;
      try {
        await navigator.clipboard.writeText(source.value ?? source.textContent);
      } catch {
        selectAll(source);
        answer = words.select;
      }
      setTimeout(() => say(said, answer), 50);
    });
  }
}

function selectAll(element) {
  if (element.select) { element.focus(); element.select(); return; }
  getSelection().selectAllChildren(element);
}

// Unsaved changes: <form data-unsaved> (data-unsaved="returned" where the page came back with values that are not saved),
// <p data-unsaved-note role="status" hidden>, and data-what="the allowed domains" on a field, for the words.
function unsaved(root) {
  for (const form of all("form[data-unsaved]", root)) {
    const note = form.querySelector("[data-unsaved-note]");
    const returned = form.dataset.unsaved === "returned";
    let leaving = false;
    const look = () => {
      const changed = [...form.elements].filter(differs);
      const names = [...new Set(changed.map((field) => field.dataset.what).filter(Boolean))];
      const dirty = returned || changed.length > 0;
      form.dataset.state = dirty ? "dirty" : "clean";
      form.toggleAttribute("data-changed", changed.length > 0);
      if (!note) return;
      note.hidden = !dirty;
      say(note, !dirty ? "" : names.length && !returned ? words.changed(names) : words.unsaved);
    };
    form.addEventListener("input", look);
    form.addEventListener("change", look);
    form.addEventListener("reset", () => setTimeout(look));
    form.addEventListener("submit", (event) => {
      leaving = true;
      setTimeout(() => { if (event.defaultPrevented) leaving = false; });
    });
    for (const link of all("[data-discard]", form)) link.addEventListener("click", () => { leaving = true; });
    addEventListener("pageshow", () => { leaving = false; look(); });
    addEventListener("beforeunload", (event) => {
      if (form.dataset.state === "dirty" && !leaving) event.preventDefault();
    });
    look();
  }
}

// Whether a field holds another value than the page came with. What is only asked about, not saved, wears data-passing.
function differs(field) {
  if (!field.name || field.readOnly || "passing" in field.dataset) return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.type === "select-one") return differsSelect(field);
  return "defaultValue" in field && field.type !== "hidden" && field.value !== field.defaultValue;
}

function differsSelect(select) {
  const first = [...select.options].findIndex((option) => option.defaultSelected);
  return select.selectedIndex !== Math.max(first, 0);
}

// Live reading: <textarea data-reading="/address">; the answer replaces what [data-reading-target] holds.
function reading(root) {
  for (const field of all("[data-reading]", root)) {
    const target = (field.form ?? document).querySelector("[data-reading-target]");
    if (!target || !field.form) continue;
    let timer, running;
    const read = async () => {
      running?.abort();
      running = new AbortController();
      const body = new URLSearchParams(new FormData(field.form));
      body.set("part", "reading");
      try {
        const answer = await fetch(field.dataset.reading, {
          method: "POST", body, headers: { Accept: "text/html" }, signal: running.signal, redirect: "error",
        });
        if (!answer.ok) return;
        target.innerHTML = await answer.text(); // our own server's fragment, escaped there; the page's policy runs no inline script
        light(target);
      } catch { /* the reading that the server gives on Save remains */ }
    };
    const soon = () => { clearTimeout(timer); timer = setTimeout(read, 350); };
    field.addEventListener("input", soon);
    field.form.addEventListener("reset", soon);
  }
}

// Passwords: <button type="button" data-reveal="ID" hidden>Show</button>
function reveal(root) {
  for (const button of all("[data-reveal]", root)) {
    const field = document.getElementById(button.dataset.reveal);
    if (!field) continue;
    const label = button.querySelector("[data-reveal-word]") ?? button;
    const set = (shown) => {
      field.type = shown ? "text" : "password";
      say(label, shown ? words.hide : words.show);
      button.setAttribute("aria-pressed", String(shown));
    };
    set(false);
    button.hidden = false;
    button.addEventListener("click", () => set(field.type === "password"));
    field.form?.addEventListener("submit", () => set(false)); // so that browsers offer to keep it as a password
  }
}

// <div data-strength="ID" data-words="Acme|ada@acme.com" hidden><meter max="4"></meter><p role="status"></p></div>
function strength(root) {
  for (const box of all("[data-strength]", root)) {
    const field = document.getElementById(box.dataset.strength);
    const meter = box.querySelector("meter");
    if (!field || !meter) continue;
    const name = document.getElementById("full_name");
    let timer;
    const look = () => {
      const own = [...(box.dataset.words ?? "").split("|"), name?.value ?? ""];
      const { level, why } = estimate(field.value, own);
      box.hidden = field.value === "";
      meter.value = level;
      clearTimeout(timer); // said once typing pauses
      timer = setTimeout(() => say(box.querySelector("p"), field.value && why), 250);
    };
    field.addEventListener("input", look);
    name?.addEventListener("input", look);
    look();
  }
}

const common = `password passwort secret welcome willkommen letmein admin administrator login master qwerty azerty qwertz dragon
monkey football baseball basketball hockey soccer shadow sunshine princess superman batman iloveyou love lovely trustno michael
jordan jennifer hunter ranger thomas robert daniel jessica ashley nicole charlie andrew joshua matthew anthony george maggie
ginger pepper cookie summer winter spring autumn monday friday sunday january february march april june july august september
october november december flower purple orange yellow silver golden diamond computer internet google facebook microsoft apple
samsung mobile phone office company business service support account manager change changeme default guest test testing user
root temp hello freedom whatever forever nothing something blink mustang corvette ferrari porsche mercedes yankees dallas
chelsea arsenal liverpool london paris berlin newyork america canada england france germany china india mexico brazil
starwars pokemon naruto matrix ninja killer tigger buster bailey harley access flash biteme cheese chocolate banana coffee
family mother father sister brother baby angel heaven jesus god bless lucky magic money power king queen hero fuckyou asshole
correct horse battery staple abc`.split(/\s+/).sort((a, b) => b.length - a.length);
const rows = ["1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "1qaz2wsx3edc", "abcdefghijklmnopqrstuvwxyz"];
const runs = rows.flatMap((row) => [row, [...row].reverse().join("")]);
const leet = { "@": "a", 4: "a", 3: "e", 1: "i", "!": "i", 0: "o", $: "s", 5: "s", 7: "t" };
const reasons = {
  own: "Made of your own name, address or organization; people guess those first.",
  common: "Made of words that everybody uses in passwords; add a few that are yours alone.",
  run: "Follows the keyboard or the alphabet; that is tried early.",
  repeat: "Repeats itself; repetition adds almost nothing.",
};

// A rough count of bits, advisory only: what people guess first is cheap, the rest by its letters. The server decides on its own rules.
function estimate(password, ownWords = []) {
  const length = [...password.normalize("NFC")].length;
  const plain = password.toLowerCase();
  const read = [...plain].map((c) => leet[c] ?? c).join("");
  const own = ownWords.flatMap((w) => w.toLowerCase().split(/[^\p{L}\p{N}]+/u)).filter((w) => w.length >= 3).sort((a, b) => b.length - a.length);
  const weak = { own: 0, common: 0, run: 0, repeat: 0 };
  const seen = new Set();
  let bits = 0;
  for (let i = 0; i < plain.length;) {
    const [kind, size, cost] = guessable(password, plain, read, own, i);
    const piece = plain.slice(i, i + size);
    if (kind) weak[kind] += size;
    else if (seen.has(piece)) bits -= cost * 0.5;
    bits += seen.has(piece) && kind ? 0.5 : cost;
    seen.add(piece);
    i += size;
  }
  const worst = Object.keys(weak).reduce((a, b) => (weak[b] > weak[a] ? b : a));
  const level = length < 12 ? 1 : bits < 30 ? 1 : bits < 42 ? 2 : bits < 55 ? 3 : 4;
  if (level < 3 && weak[worst] >= Math.max(3, length / 3)) return { level, why: reasons[worst] };
  if (length < 12) return { level, why: `Short: ${length} of at least 12 characters. Add a few more words.` };
  return { level, why: ["", "Easy to guess. Add a few more words.", "Fair. One more word helps most.", "Good.", "Strong."][level] };
}

// What begins at `i`: [kind or "", how many characters, bits]
function guessable(typed, plain, read, own, i) {
  const rest = plain.slice(i), restRead = read.slice(i);
  const starts = (word) => rest.startsWith(word) || restRead.startsWith(word);
  const same = /^(.)\1{2,}/u.exec(rest) ?? /^(.{2,8}?)\1+/u.exec(rest);
  if (same) return ["repeat", same[0].length, same[1].length * 2.5 + 1];
  const mine = own.find(starts);
  if (mine) return ["own", mine.length, 2];
  for (let size = Math.min(rest.length, 12); size >= 4; size--) {
    if (runs.some((run) => run.includes(rest.slice(0, size)))) return ["run", size, 4];
  }
  const word = common.find(starts);
  if (word) return ["common", word.length, 8];
  if (/^(19|20)\d\d/.test(rest)) return ["", 4, 6];
  const letter = String.fromCodePoint(rest.codePointAt(0));
  const cost = /[a-z]/.test(letter) ? 2.6 : /\d/.test(letter) ? 3.2 : 4.2;
  return ["", letter.length, cost + (i > 0 && sort(typed[i]) !== sort(typed[i - 1]) ? 1.5 : 0)]; // nobody reads a mix as a word
}

const sort = (c) => (/\p{Ll}/u.test(c) ? "small" : /\p{Lu}/u.test(c) ? "capital" : /\d/.test(c) ? "digit" : /\s/.test(c) ? "small" : "other");

// Times: <time datetime="2026-11-22T14:02:00Z">2026-11-22 14:02 UTC</time>, in the reader's zone, the exact time on hover.
function times(root) {
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const midnight = (date) => Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  const now = new Date();
  for (const element of all("time[datetime]", root)) {
    const when = new Date(element.dateTime);
    if (!element.dateTime.includes("T") || Number.isNaN(when.getTime())) continue;
    const year = when.getFullYear() === now.getFullYear() ? undefined : "numeric";
    const day = words.day[(midnight(when) - midnight(now)) / 86_400_000]
      ?? new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year }).format(when);
    element.title = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" }).format(when);
    element.textContent = words.at(day, clock.format(when));
  }
}

// A second press on the same button of a form that is on its way does nothing. Nothing is disabled, so going back is safe.
function once() {
  const sent = new WeakMap();
  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter ?? form;
    if (event.defaultPrevented || form.method !== "post") return;
    if (Date.now() - (sent.get(button) ?? 0) < 10_000) { event.preventDefault(); return; }
    sent.set(button, Date.now());
    button.setAttribute("aria-busy", "true");
    setTimeout(() => button.removeAttribute("aria-busy"), 10_000);
    addEventListener("pageshow", () => { sent.delete(button); button.removeAttribute("aria-busy"); }, { once: true });
  });
}

// Folds that lie over the page close on Escape and on a press elsewhere.
function folds() {
  const open = () => all("details:is(.actions, .menu)[open]");
  document.addEventListener("click", (event) => {
    for (const fold of open()) if (!fold.contains(event.target)) fold.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const fold of open()) {
      if (fold.contains(document.activeElement)) fold.querySelector("summary").focus();
      fold.open = false;
    }
  });
}

// Codes: <input data-digits> keeps the digits of what is typed or pasted.
function digits(root) {
  for (const field of all("[data-digits]", root)) {
    field.addEventListener("input", () => {
      const kept = field.value.replace(/\D/g, "").slice(0, 6);
      if (kept !== field.value) field.value = kept;
    });
  }
}

// A link code or a token leaves the address bar: <meta name="vestibule-address" content="/join">
function address() {
  const path = document.querySelector('meta[name="vestibule-address"]')?.content;
  if (path?.startsWith("/") && !path.startsWith("//")) history.replaceState(history.state, "", path);
}

function light(root) {
  for (const behaviour of [copy, unsaved, reading, reveal, strength, times, digits]) behaviour(root);
}

address();
light(document);
once();
folds();
document.querySelector(".summary")?.focus();

// The live journal: what the stream brings, filtered, newest first. However fast it comes, the page draws it a few times a
// second, and only the rows in sight.

import { byId, element, setAttribute, setText, show } from "/dashboard/elements.js";
import { opened } from "/dashboard/dialogs.js";
import { say } from "/dashboard/notices.js";
import { Rows } from "/dashboard/rows.js";

const KEPT = 5000; // entries that the page keeps, and as many that pass the filter
const EVERY = 200; // milliseconds between two drawings

const COLUMNS = [
  { name: "time", title: "Time, UTC" },
  { name: "org", title: "Org" },
  { name: "operation", title: "Operation" },
  { name: "device", title: "Device" },
  { name: "outcome", title: "Outcome" },
  { name: "code", title: "Code, detail" },
  { name: "rule", title: "Fault" },
];

/** Wire the journal. `take`, `began` and `missed` are for the stream; `pause()` holds the view or lets it go on. */
export function journalPanel(state) {
  let kept = []; // oldest first, like `passed`
  let passed = [];
  let held = null; // what is shown while the view is held
  let fresh = 0; // entries that came since, and pass
  let missed = 0;
  let journal = null;
  let timer = null;
  let org = null;
  const viewport = byId("journal-rows");
  const rows = new Rows(viewport, COLUMNS, { fill, onActivate: showEntry });

  const scope = byId("journal-scope");
  const kind = byId("journal-kind");
  const search = byId("journal-search");
  for (const [field, event] of [[scope, "change"], [kind, "change"], [search, "input"]]) field.addEventListener(event, filter);
  byId("pause").addEventListener("click", pause);
  byId("journal-clear").addEventListener("click", () => {
    kept = [];
    passed = [];
    missed = 0;
    if (held !== null) held = [];
    fresh = 0;
    draw();
  });
  state.subscribe((now) => {
    if (org === (now.org?.id ?? null)) return;
    org = now.org?.id ?? null;
    filter();
  });

  function passing() {
    const text = search.value.trim().toLowerCase();
    const { value } = kind;
    return (entry) =>
      (scope.value === "all" || entry.org === org || entry.org === null) &&
      (value === "" || entry.kind === value || entry.decision === value || (value === "rule" && entry.rule !== null)) &&
      (text === "" ||
        [entry.device, entry.operation, entry.code, entry.rule, entry.request_id, entry.detail].some((part) => part?.toLowerCase().includes(text)));
  }

  function filter() {
    passed = kept.filter(passing());
    if (held !== null) held = passed;
    fresh = 0;
    viewport.scrollTop = 0;
    rows.active = -1;
    draw();
  }

  function pause() {
    held = held === null ? passed : null;
    fresh = 0;
    setAttribute(byId("pause"), "aria-pressed", held !== null);
    setText(byId("pause"), held === null ? "Pause" : "Resume");
    say(held === null ? "The journal goes on." : "The journal is paused; what comes is kept.");
    draw();
  }

  function take(entries) {
    const found = entries.filter(passing());
    kept = last(kept.concat(entries));
    passed = last(passed.concat(found));
    if (held !== null) fresh += found.length;
    timer ??= setTimeout(() => {
      timer = null;
      draw();
    }, EVERY);
  }

  function draw() {
    const shown = held ?? passed;
    // Somebody who reads further down keeps the entries under the eyes: new ones come in above.
    const top = shown[shown.length - 1]?.number ?? 0;
    const before = rows.items[0]?.number ?? 0;
    const reading = viewport.scrollTop > 0 || rows.active > 0;
    const above = reading ? shown.length - 1 - shown.findLastIndex((entry) => entry.number <= before) : 0;
    rows.show(shown.toReversed());
    if (reading && top > before && above > 0) {
      if (rows.active >= 0) rows.active = Math.min(rows.active + above, shown.length - 1);
      rows.keep(above);
    }
    const words = [`${shown.length.toLocaleString("en")} shown`];
    if (held !== null) words.push(`paused, ${fresh.toLocaleString("en")} more since`);
    if (missed > 0) words.push(`${missed.toLocaleString("en")} missed`);
    setText(byId("journal-count"), words.join(" · "));
    show(byId("no-entries"), shown.length === 0);
    setText(byId("no-entries"), kept.length === 0 ? "Calls and actions appear here as they happen." : "No entry passes the filter.");
  }

  return {
    take,
    pause,
    missed: (number) => {
      missed += number;
      draw();
    },
    began: (began) => {
      // Another journal is another server: its numbers begin anew, and those from before would be taken for its own.
      if (journal !== null && journal !== began.journal) {
        kept = passed = [];
        held = held === null ? null : [];
        say("The server was started again: its journal begins anew.");
      }
      journal = began.journal;
      draw();
    },
  };
}

function last(entries) {
  return entries.length > KEPT ? entries.slice(-KEPT) : entries;
}

function fill(cells, entry, row) {
  setAttribute(row, "data-kind", entry.kind);
  setText(cells.time, clockTime(entry.time));
  setText(cells.org, entry.org ?? "–");
  setText(cells.operation, entry.operation);
  setText(cells.device, entry.device ?? "–");
  setAttribute(cells.device, "title", entry.device);
  const outcome = entry.kind === "action" ? "action" : (entry.decision ?? (entry.status === null ? "no answer" : "answered"));
  setText(cells.outcome, entry.status === null ? outcome : `${outcome} ${entry.status}`);
  setAttribute(cells.outcome, "data-decision", entry.kind === "action" ? "action" : (entry.decision ?? (entry.status !== null && entry.status < 400 ? null : "failure")));
  const said = [entry.code, entry.detail].filter((part) => part !== null).join(" · ");
  setText(cells.code, said === "" ? "–" : said);
  setAttribute(cells.code, "title", said === "" ? null : said);
  setText(cells.rule, entry.rule ?? "–");
}

function clockTime(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 23);
}

async function showEntry(entry) {
  setText(byId("entry-title"), `Entry ${entry.number}`);
  const shown = { ...entry, time: new Date(entry.time * 1000).toISOString(), waited: entry.waited === null ? null : `${(entry.waited * 1000).toFixed(2)} ms` };
  byId("entry-fields").replaceChildren(
    ...Object.entries(shown)
      .filter(([name, value]) => value !== null && name !== "number")
      .map(([name, value]) => element("div", {}, element("dt", {}, name.replaceAll("_", " ")), element("dd", {}, String(value)))),
  );
  await opened("entry-dialog");
}

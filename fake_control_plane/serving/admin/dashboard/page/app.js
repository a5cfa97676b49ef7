// The dashboard: the admin API's console as one page, without a build step. Each panel is one file; this one puts them together.
//
//   ask.js     requests, errors, token      state.js    what is, once a second     stream.js   the journal as it happens
//   rows.js    tables of any length         devices.js  orgs.js  faults.js  journal.js         the panels

import { Unreachable, ask } from "/dashboard/ask.js";
import { devicesPanel } from "/dashboard/devices.js";
import { byId, setText, show } from "/dashboard/elements.js";
import { faultsPanel } from "/dashboard/faults.js";
import { journalPanel } from "/dashboard/journal.js";
import { keys } from "/dashboard/keys.js";
import { complain, dismissAll, say } from "/dashboard/notices.js";
import { orgsPanel } from "/dashboard/orgs.js";
import { State } from "/dashboard/state.js";
import { JournalStream } from "/dashboard/stream.js";
import { theme } from "/dashboard/theme.js";

const HISTORY = 1000; // entries from before the page was opened

const state = new State();
theme();
const devices = devicesPanel(state);
const orgs = orgsPanel(state);
const journal = journalPanel(state);

const focus = (id) => () => byId(id).focus();
const faultForm = () => {
  byId("fault-details").open = true;
  byId("fault-kind").focus();
};
keys(
  {
    "/": ["search the devices", focus("search")],
    d: ["to the table of devices", focus("device-rows")],
    r: ["register devices", () => byId("register").click()],
    f: ["to the fault form", faultForm],
    j: ["to the journal", focus("journal-rows")],
    p: ["pause the journal, or let it go on", journal.pause],
    o: ["choose the org", focus("org")],
    t: ["light, dark, or as the system", () => byId("theme").click()],
  },
  [
    ["↑ ↓ Page Home End", "move in a table"],
    ["Space", "select the device"],
    ["Shift+↑ ↓", "select several devices"],
    ["Ctrl+A", "select all that are shown"],
    ["v", "in the devices: revoke"],
    ["u", "in the devices: restore"],
    ["Delete", "in the devices: remove"],
    ["Enter", "in the journal: all fields"],
    ["Esc", "disarm, dismiss errors, select none, leave a field"],
  ],
  () => orgs.disarm() || dismissAll() || devices.clear(),
);

// -- is the server there? -----------------------------------------------------------------------------------------------

const link = { lost: { state: null, stream: null }, since: null };

function linked(part, why) {
  link.lost[part] = why;
  const lost = link.lost.state ?? link.lost.stream;
  if (lost === null) {
    if (link.since !== null) say("Connected again.");
    link.since = null;
  } else link.since ??= new Date();
  byId("link").dataset.state = lost === null ? "live" : "lost";
  setText(byId("link-text"), lost === null ? "Live" : "Not connected");
  show(byId("lost"), lost !== null);
  if (lost !== null) setText(byId("lost"), `No connection to the server since ${link.since.toLocaleTimeString()} (${lost}). What is shown is from before; this page connects again by itself.`);
}

let stream = null;
state.onLink((error) => {
  if (error === null && link.lost.stream !== null) stream?.retry();
  linked("state", error === null ? null : error instanceof Unreachable ? "it does not answer" : error.message);
});

await state.refresh();
while (state.status === null) await new Promise((done) => setTimeout(() => state.refresh().then(done), 1000));
faultsPanel(state)
  .then(() => state.refresh())
  .catch((error) => complain("read the faults", error));
const { journal: begin } = await ask("GET", "/status").catch(() => state.status);
stream = new JournalStream(Math.max(0, begin.last - HISTORY, begin.first - 1), {
  onBegan: journal.began,
  onMissed: journal.missed,
  onEntries: (entries) => {
    journal.take(entries);
    if (entries.some((entry) => entry.kind === "action")) state.refresh(); // another console, or the clock
  },
  onLink: (now, why) => linked("stream", now === "live" ? null : why),
});
await stream.follow();

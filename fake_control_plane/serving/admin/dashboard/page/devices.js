// The devices panel: the table, and what is done to those selected.

import { ask } from "/dashboard/ask.js";
import { DeviceTable, REASONS } from "/dashboard/device_table.js";
import { confirmed, opened } from "/dashboard/dialogs.js";
import { byId, count, fillSelect, setText } from "/dashboard/elements.js";
import { attempt, say } from "/dashboard/notices.js";

const MOST = 10000; // ids a request

/** Wire the panel to the state. Returns `clear()`, which selects none and says whether any was selected. */
export function devicesPanel(state) {
  fillSelect(byId("state"), [
    ["", "Every state"],
    ["deny", "Denied, for any reason"],
    ["revoked", "Revoked, whatever else"],
    ...Object.entries(REASONS).filter(([reason]) => reason !== "device-not-registered"),
  ]);

  const table = new DeviceTable({
    onSelect: () => {
      const number = table.selected.size;
      setText(byId("selected"), number === 0 ? "None selected" : `${number.toLocaleString("en")} selected`);
      for (const name of ["revoke", "restore", "remove"]) byId(name).setAttribute("aria-disabled", String(number === 0));
    },
    onKey: (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = { v: revoke, u: restore, Delete: remove }[event.key];
      if (act === undefined) return;
      event.preventDefault();
      act();
    },
  });
  for (const name of ["revoke", "restore", "remove"]) byId(name).setAttribute("aria-disabled", "true");

  async function act(word, done) {
    const org = state.org?.id;
    const ids = table.targets();
    if (ids.length === 0) {
      say("No device is selected: choose some in the table first.");
      return;
    }
    await attempt(
      `${word} ${ids.length === 1 ? ids[0] : count(ids.length, "device")}`,
      async () => {
        for (let from = 0; from < ids.length; from += MOST) {
          await ask("POST", `/orgs/${org}/${word}`, { body: { devices: ids.slice(from, from + MOST) } });
        }
      },
      () => `${done} ${ids.length === 1 ? ids[0] : count(ids.length, "device")}.`,
    );
    await state.refresh();
  }
  const revoke = () => act("revoke", "Revoked");
  const restore = () => act("restore", "Restored");
  const remove = async () => {
    const ids = table.targets();
    if (ids.length === 0) return act("remove", "Removed"); // which says what to do
    const which = ids.length === 1 ? ids[0] : count(ids.length, "device");
    const yes = await confirmed(`Remove ${which}?`, "The org forgets them: their validates are denied until they register again.", "Remove");
    return yes ? act("remove", "Removed") : undefined;
  };
  byId("revoke").addEventListener("click", revoke);
  byId("restore").addEventListener("click", restore);
  byId("remove").addEventListener("click", remove);
  byId("select-all").addEventListener("click", () => table.selectAll());
  byId("register").addEventListener("click", () => register(state));
  roving(byId("device-tools"));

  let shownOrg = null;
  state.subscribe(({ devices, clock, org }) => {
    if (org?.id !== shownOrg) table.selectNone();
    shownOrg = org?.id;
    table.show(devices, clock.now);
  });
  return { clear: () => table.selectNone() };
}

async function register(state) {
  const field = byId("register-ids");
  const org = state.org?.id;
  if (!(await opened("register-dialog"))) return;
  const typed = field.value;
  const ids = [...new Set(typed.split("\n").map((line) => line.trim()).filter((line) => line !== ""))];
  if (ids.length === 0) return;
  const answer = await attempt(
    `register ${ids.length === 1 ? ids[0] : count(ids.length, "device")}`,
    () => ask("POST", `/orgs/${org}/register`, { body: { devices: ids } }),
    ({ registered }) => {
      const old = ids.length - registered.length;
      return `Registered ${count(registered.length, "device")}${old > 0 ? `; ${old.toLocaleString("en")} already registered` : ""}.`;
    },
  );
  if (answer !== undefined && field.value === typed) field.value = ""; // what was refused, or typed meanwhile, stays
  await state.refresh();
}

/** In a toolbar the arrow keys move, and Tab leaves it. */
function roving(toolbar) {
  const buttons = [...toolbar.querySelectorAll("button")];
  buttons.forEach((button, index) => {
    button.tabIndex = index === 0 ? 0 : -1;
    button.addEventListener("focus", () => {
      for (const other of buttons) other.tabIndex = other === button ? 0 : -1;
    });
    button.addEventListener("keydown", (event) => {
      const step = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: buttons.length - 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      buttons[(step + buttons.length) % buttons.length].focus();
    });
  });
}

// The org: which one is shown, its plan, cap and key, org-wide disable, and the server's clock.

import { ask } from "/dashboard/ask.js";
import { confirmed, opened, showKey } from "/dashboard/dialogs.js";
import { byId, count, fillSelect, setAttribute, setText, show } from "/dashboard/elements.js";
import { attempt, say } from "/dashboard/notices.js";

/** Wire the controls to the state. Returns `disarm()`, which says whether org-wide disable was armed. */
export function orgsPanel(state) {
  let armed = null; // the org for which it is armed

  /** Do something to the org that is shown, and show what came of it. */
  async function act(doing, method, path, body, done) {
    const org = state.org?.id;
    const answer = await attempt(doing, () => ask(method, `/orgs/${org}/${path}`, { body }), done);
    await state.refresh();
    return answer;
  }

  function disarm() {
    const was = armed !== null;
    armed = null;
    show(byId("disable-armed"), false);
    draw(state);
    return was;
  }

  byId("org").addEventListener("change", (event) => {
    const { value } = event.target; // before disarm, which draws the org that is still shown
    disarm();
    state.choose(value);
  });
  byId("new-org").addEventListener("click", async () => {
    if (!(await opened("org-dialog"))) return;
    const cap = byId("new-cap").value;
    const body = { plan: byId("new-plan").value, ...(cap === "" ? {} : { cap: Number(cap) }) };
    const made = await attempt("make an org", () => ask("POST", "/orgs", { body }), ({ org }) => `Made ${org.id}.`);
    if (made === undefined) return;
    await Promise.all([state.choose(made.org.id), showKey(made.org.id, made.key)]);
  });

  byId("arm").addEventListener("click", () => {
    armed = state.org?.id ?? null;
    draw(state);
    byId("confirm-disable").focus();
    say("Org-wide disable is armed. Nothing is disabled yet: Disable now does it, Escape disarms.");
  });
  byId("disarm").addEventListener("click", () => {
    disarm();
    byId("arm").focus();
    say("Disarmed.");
  });
  byId("confirm-disable").addEventListener("click", async () => {
    await act(`disable ${armed}`, "POST", "disable", undefined, ({ id }) => `Disabled ${id}: every validate is denied.`);
    disarm();
    if (!byId("disabled").hidden) byId("enable").focus();
  });
  byId("enable").addEventListener("click", async () => {
    await act("enable the org", "POST", "enable", undefined, ({ id }) => `Enabled ${id}: its devices have their own state again.`);
    byId("arm").focus();
  });

  onSubmit("plan-form", () => {
    const plan = byId("plan").value;
    return act("set the plan", "PUT", "plan", { plan }, (org) => `Plan of ${org.id}: ${org.plan}, ${count(org.limit, "device")}.`);
  });
  onSubmit("plan-state-form", () =>
    act("set the plan’s state", "PUT", "plan-state", { state: byId("plan-state").value }, (org) => `Plan of ${org.id} is ${org.plan_state}.`),
  );
  onSubmit("cap-form", () =>
    act("set the cap", "PUT", "cap", { cap: Number(byId("cap").value) }, (org) => `Cap of ${org.id}: ${count(org.limit, "device")}.`),
  );
  onSubmit("cancel-form", async () => {
    const until = state.clock.now + Number(byId("cancel").value);
    await act("cancel the plan", "POST", "cancel", { access_until: until }, (org) => `Plan of ${org.id} ends ${time(org.access_until)}.`);
  });
  onSubmit("key-form", async () => {
    const org = state.org?.id;
    const yes = await confirmed(`Rotate the key of ${org}?`, "The old key gets 401 at once, and every worker that has it is refused.", "Rotate key");
    if (!yes) return;
    const made = await act("rotate the key", "POST", "rotate", undefined, () => `The key of ${org} is another one now.`);
    if (made !== undefined) await showKey(org, made.key);
  });
  onSubmit("clock-form", async () => {
    const seconds = Number(byId("clock-by").value) * Number(byId("clock-unit").value);
    await attempt("move the clock", () => ask("POST", "/clock/advance", { body: { seconds } }), (clock) => `The server’s clock says ${time(clock.now)}.`);
    await state.refresh();
  });

  let filledFor = null;
  function draw({ org, orgs, devices, rules, status, clock }) {
    fillSelect(byId("org"), orgs.length === 0 ? [["", "no org yet"]] : orgs.map((one) => [one.id, `${one.id} · ${one.plan}${one.disabled ? " · disabled" : ""}`]));
    if (org === null || status === null) return;
    byId("org").value = org.id;
    if (armed !== org.id || org.disabled) armed = null;
    const allowed = devices.reduce((sum, device) => sum + (device.now === "allow" ? 1 : 0), 0);
    const rate = devices.reduce((sum, device) => sum + device.rate, 0);
    setText(byId("fact-plan"), `${org.plan} · ${org.plan_state}${org.access_until === null ? "" : ` until ${time(org.access_until)}`}`);
    setText(byId("fact-used"), `${org.used.toLocaleString("en")} of ${org.limit.toLocaleString("en")}${org.used > org.limit ? ", over the cap" : ""}`);
    byId("fact-used").parentElement.classList.toggle("warn", org.used > org.limit);
    show(byId("fact-meter"), org.used <= org.limit);
    setAttribute(byId("fact-meter"), "max", Math.max(1, org.limit));
    setAttribute(byId("fact-meter"), "value", org.used);
    setText(byId("fact-allowed"), allowed.toLocaleString("en"));
    setText(byId("fact-denied"), (devices.length - allowed).toLocaleString("en"));
    setText(byId("fact-rate"), rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en"));
    setText(byId("fact-faults"), rules.length.toLocaleString("en"));
    byId("fact-faults-box").classList.toggle("warn", rules.length > 0);
    setText(byId("fact-clock"), time(clock.now));
    setText(byId("clock-moved"), Math.abs(clock.moved) < 1 ? "as the machine’s" : `${span(clock.moved)} ${clock.moved > 0 ? "ahead" : "behind"}`);
    setText(byId("fact-url"), status.base_url ?? "–");
    show(byId("disabled"), org.disabled);
    setText(byId("disabled-text"), `Every validate of ${org.id} is denied (${count(devices.length, "device")}); each device keeps its own state.`);
    show(byId("disable-safe"), !org.disabled && armed === null);
    show(byId("disable-armed"), armed !== null);
    show(byId("disable-on"), org.disabled);
    setText(byId("armed-text"), `Armed: ${count(allowed, "device")} of ${org.id} that ${allowed === 1 ? "is" : "are"} allowed now will be denied.`);
    const troubles = [...status.problems, ...(status.expired ? ["This server’s time is over (--expires): it denies everything. Start it again."] : [])];
    show(byId("unwell"), troubles.length > 0);
    setText(byId("unwell"), troubles.join(" "));
    // The fields show what is, but not while somebody writes into them.
    const filled = JSON.stringify([org.id, org.plan, org.plan_state, org.limit]);
    if (filledFor !== filled && !byId("org-title").closest("section").contains(document.activeElement)) {
      filledFor = filled;
      byId("plan").value = org.plan;
      byId("plan-state").value = org.plan_state;
      byId("cap").value = org.limit;
    }
  }
  state.subscribe(draw);
  return { disarm };
}

function onSubmit(id, action) {
  byId(id).addEventListener("submit", (event) => {
    event.preventDefault();
    action();
  });
}

/** A moment, as ISO 8601 without the T, in UTC: the same on every screen. */
function time(seconds) {
  const moment = new Date(seconds * 1000);
  return Number.isNaN(moment.getTime()) ? `${seconds} s` : `${moment.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function span(seconds) {
  const size = Math.abs(seconds);
  const [unit, word] = size >= 86400 ? [86400, "day"] : size >= 3600 ? [3600, "hour"] : size >= 60 ? [60, "minute"] : [1, "second"];
  return count(Math.round((size / unit) * 10) / 10, word);
}

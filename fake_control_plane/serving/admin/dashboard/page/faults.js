// The fault console: the rules in force with what they counted, and the form that arms one more.

import { ask, read } from "/dashboard/ask.js";
import { byId, count, element, fillSelect, setText, show } from "/dashboard/elements.js";
import { fields, ruleSchema, triggers, values } from "/dashboard/fault_form.js";
import { attempt } from "/dashboard/notices.js";

const USUAL = "status"; // the fault that the form begins with

/** Wire the console to the state. */
export async function faultsPanel(state) {
  state.subscribe(({ rules, orgs }) => {
    drawRules(state, rules);
    fillSelect(byId("fault-org"), [["", "every org"], ...orgs.map((org) => [org.id, org.id])]);
  });
  byId("clear-faults").addEventListener("click", async () => {
    await attempt("clear all faults", () => ask("DELETE", "/faults"), ({ removed }) => `Cleared ${count(removed.length, "fault")}.`);
    await state.refresh();
  });
  byId("line-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = byId("fault-line");
    const line = field.value;
    if ((await arm(state, { line })) && field.value === line) field.value = ""; // what was typed meanwhile stays
  });
  await form(state);
}

async function form(state) {
  const [schema, { kinds }] = await Promise.all([read("/openapi.json").then(ruleSchema), ask("GET", "/fault-kinds")]);
  const when = triggers(schema);
  const select = byId("fault-kind");
  const group = (level, label) =>
    element("optgroup", { label }, ...kinds.filter((kind) => kind.level === level).map((kind) => element("option", { value: kind.name, selected: kind.name === USUAL }, kind.name)));
  select.replaceChildren(group("answer", "On a call"), group("listener", "On the listener"));
  fillSelect(byId("fault-operation"), [["", "every operation"], ...schema.operation.enum.map((name) => [name, name])]);
  fillSelect(byId("fault-trigger"), when.map(([key, words]) => [key, words]));
  byId("fault-trigger").value = "always";

  const chosen = () => kinds.find((kind) => kind.name === select.value);
  const drawTrigger = () => byId("fault-trigger-fields").replaceChildren(...fields(when.find(([key]) => key === byId("fault-trigger").value)[2], "trigger"));
  const drawKind = () => {
    const kind = chosen();
    setText(byId("fault-summary"), kind.summary[0].toUpperCase() + kind.summary.slice(1) + ".");
    byId("fault-parameters").replaceChildren(...fields(schema.fault.properties[kind.name], "parameter"));
    const listens = kind.level === "listener";
    for (const name of ["operation", "device", "org"]) byId(`fault-${name}`).disabled = listens;
    show(byId("fault-listener"), listens);
  };
  select.addEventListener("change", drawKind);
  byId("fault-trigger").addEventListener("change", drawTrigger);
  drawKind();
  drawTrigger();

  byId("fault-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!event.target.reportValidity()) return;
    const kind = chosen();
    const rule = { fault: { [kind.name]: values(byId("fault-parameters")) } };
    for (const name of ["operation", "device", "org"]) {
      const value = byId(`fault-${name}`).value.trim();
      if (kind.level !== "listener" && value !== "") rule[name] = value;
    }
    const trigger = values(byId("fault-trigger-fields"));
    if (Object.keys(trigger).length > 0) rule.trigger = trigger;
    await arm(state, rule);
  });
}

async function arm(state, rule) {
  const made = await attempt("arm the fault", () => ask("POST", "/faults", { body: rule }), ({ id, line }) => `Armed ${id}: ${line}`);
  await state.refresh();
  return made !== undefined;
}

/** Rules keep their elements, so that the focus stays on a button while the numbers beside it change. */
function drawRules(state, rules) {
  const list = byId("fault-list");
  const before = new Map([...list.children].map((item) => [item.dataset.rule, item]));
  for (const rule of rules) {
    const item = before.get(rule.id) ?? newItem(state, rule);
    before.delete(rule.id);
    setText(item.querySelector(".hits"), `${count(rule.hits, "hit")} of ${count(rule.seen, "matching call")}`);
    if (!item.isConnected) list.append(item);
  }
  for (const item of before.values()) {
    const focused = item.contains(document.activeElement);
    item.remove();
    if (focused) (list.querySelector("button") ?? byId("fault-details").querySelector("summary")).focus();
  }
  show(byId("no-faults"), rules.length === 0);
  byId("clear-faults").disabled = rules.length === 0;
}

function newItem(state, rule) {
  const clear = async () => {
    await attempt(`clear ${rule.id}`, () => ask("DELETE", `/faults/${encodeURIComponent(rule.id)}`), `Cleared ${rule.id}.`);
    await state.refresh();
  };
  const line = rule.line.replace(new RegExp(` ?id=${rule.id.replaceAll(".", "\\.")}\\b`), "");
  return element(
    "li",
    { "data-rule": rule.id },
    element("div", {}, element("strong", {}, rule.id), " ", element("code", {}, line), element("p", { class: "hits quiet" })),
    element("button", { type: "button", onclick: clear, "aria-label": `Clear ${rule.id}` }, "Clear"),
  );
}

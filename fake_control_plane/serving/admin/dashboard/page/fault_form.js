// The form for a fault rule, made from the schema that the server has in /openapi.json: a new fault needs nothing here.

import { element } from "/dashboard/elements.js";

/** What a rule may be, from the OpenAPI document. */
export function ruleSchema(document) {
  return document.components.schemas.FaultRuleToAdd.anyOf.find((one) => "fault" in one.properties).properties;
}

/** The triggers as `[key, words, schema]`. */
export function triggers(schema) {
  const words = {
    always: "Always, until it is cleared",
    nth: "On the n-th matching call",
    first: "On the first n matching calls",
    every: "On every n-th matching call",
    down: "Flapping: n struck, m spared",
    share: "On a share of the calls",
  };
  return schema.trigger.anyOf.map((one) => {
    const key = Object.keys(one.properties)[0];
    return [key, words[key] ?? key, one];
  });
}

/** Labelled fields for the properties of an object's schema. */
export function fields(schema, prefix) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties)
    .filter(([, of]) => of.const === undefined)
    .flatMap(([name, of]) => {
      const id = `${prefix}-${name}`;
      const label = element("label", { for: id }, name.replaceAll("_", " "), required.has(name) ? "" : element("span", { class: "quiet" }, " (optional)"));
      const hint = element("p", { class: "hint", id: `${id}-hint` }, of.description ?? "");
      const field = control(of, required.has(name));
      field.id = id;
      field.dataset.name = name;
      field.setAttribute("aria-describedby", hint.id);
      if (required.has(name)) field.required = true;
      return [label, element("div", {}, field, hint)];
    });
}

function control(schema, required) {
  const choices = schema.type === "boolean" ? [true, false] : schema.enum;
  if (choices !== undefined) {
    const options = choices.map((value) => element("option", { value: JSON.stringify(value), selected: value === schema.default }, String(value)));
    if (!required && schema.default === undefined) options.unshift(element("option", { value: "" }, "–"));
    return element("select", { "data-as": "json" }, ...options);
  }
  const placeholder = schema.default === undefined || schema.default === null ? null : String(schema.default);
  if (schema.type === "integer" || schema.type === "number") {
    const step = schema.type === "integer" ? 1 : "any";
    return element("input", { type: "number", step, min: schema.minimum, max: schema.maximum, placeholder, "data-as": "number", autocomplete: "off" });
  }
  if (schema.type === "string") return element("input", { type: "text", placeholder, "data-as": "text", autocomplete: "off", spellcheck: "false" });
  // Several types: what reads as JSON is that, anything else is a string.
  return element("input", { type: "text", placeholder: placeholder ?? "JSON, or a word", "data-as": "any", autocomplete: "off", spellcheck: "false" });
}

/** The values of the fields in a box; those left empty are left out. What is wrong with them, the server says. */
export function values(box) {
  const found = {};
  for (const field of box.querySelectorAll("[data-name]")) {
    if (field.value === "" && !field.validity.badInput) continue;
    found[field.dataset.name] = read(field);
  }
  return found;
}

function read(field) {
  const as = field.dataset.as;
  if (as === "text") return field.value;
  if (as === "number") return field.validity.badInput ? null : Number(field.value);
  try {
    return JSON.parse(field.value);
  } catch {
    return field.value;
  }
}

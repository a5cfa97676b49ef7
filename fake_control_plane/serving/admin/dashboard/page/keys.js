// Single-key shortcuts, and the dialog that lists them. They can be switched off (WCAG 2.1.4), and are silent where somebody writes.

import { opened } from "/dashboard/dialogs.js";
import { byId, element } from "/dashboard/elements.js";

const FIELD = "input, select, textarea";
const SETTING = "fake-control-plane-single-keys";

/** `actions`: key to `[words, action]`; `also`: `[keys, words]` of what works inside a panel. `escape()` on Escape: whether it did something. */
export function keys(actions, also, escape) {
  const box = byId("single-keys");
  box.checked = localStorage.getItem(SETTING) !== "off";
  box.addEventListener("change", () => localStorage.setItem(SETTING, box.checked ? "on" : "off"));

  const help = () => opened("help-dialog");
  const all = { ...actions, "?": ["this list", help] };
  byId("help").addEventListener("click", help);
  byId("help-keys").replaceChildren(
    ...[...Object.entries(all).map(([key, [words]]) => [key, words]), ...also].map(([key, words]) =>
      element("div", {}, element("dt", {}, element("kbd", {}, key)), element("dd", {}, words)),
    ),
  );
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") {
      if (!escape() && event.target.matches(FIELD)) event.target.blur(); // no shortcut works in a field
      return;
    }
    if (!box.checked || event.target.matches(FIELD)) return;
    const found = all[event.key];
    if (found === undefined) return;
    event.preventDefault();
    found[1]();
  });
}

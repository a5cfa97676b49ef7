// Light, dark, or as the system has it. The colours are in style.css (light-dark()), and follow color-scheme.

import { byId, setText } from "/dashboard/elements.js";

const SETTING = "fake-control-plane-theme";
const THEMES = ["system", "light", "dark"];

/** Wire the button. */
export function theme() {
  const button = byId("theme");
  const apply = (name) => {
    document.documentElement.dataset.theme = name;
    setText(button, `Theme: ${name}`);
  };
  const stored = localStorage.getItem(SETTING);
  apply(THEMES.includes(stored) ? stored : "system");
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
    localStorage.setItem(SETTING, next);
    apply(next);
  });
}

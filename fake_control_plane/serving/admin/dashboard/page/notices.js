// What came of an action: results politely, errors until they are dismissed, with what was expected and what to do.

import { Refused, Unreachable } from "/dashboard/ask.js";
import { byId, element, setText } from "/dashboard/elements.js";

const MOST = 3;

/** Say that something is done. */
export function say(text) {
  const line = byId("result");
  setText(line, "");
  // In the next frame: a status that is set to the text that it has is not read out again.
  requestAnimationFrame(() => setText(line, text));
}

/** Say why something is not done. */
export function complain(doing, error) {
  if (!(error instanceof Refused || error instanceof Unreachable)) console.error(error);
  const lines = [element("p", {}, element("strong", {}, `${doing}: not done. `), error.message)];
  if (error instanceof Refused && error.expected !== null) lines.push(element("p", {}, `Expected: ${error.expected}`));
  const remedy = error instanceof Unreachable ? "See whether the server still runs; this page connects again by itself." : error.remedy;
  if (remedy) lines.push(element("p", {}, `What to do: ${remedy}`));
  const box = element("div", { class: "error" }, element("div", {}, ...lines));
  box.append(element("button", { type: "button", onclick: () => box.remove(), "aria-label": `Dismiss: ${doing}` }, "Dismiss"));
  const errors = byId("errors");
  errors.append(box);
  while (errors.children.length > MOST) errors.firstElementChild.remove();
}

/** Take all errors away. Returns whether there were any. */
export function dismissAll() {
  const errors = byId("errors");
  const any = errors.children.length > 0;
  errors.replaceChildren();
  return any;
}

/** Do something, say what came of it. `done(answer)`: the words for it. Returns the answer, or undefined if it was not done. */
export async function attempt(doing, action, done) {
  try {
    const answer = await action();
    say(typeof done === "function" ? done(answer) : done);
    return answer;
  } catch (error) {
    complain(doing, error);
    return undefined;
  }
}

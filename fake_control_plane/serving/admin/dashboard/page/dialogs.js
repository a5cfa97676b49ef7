// The dialogs. Each is a native modal dialog: it keeps the focus inside, ends with Escape, and gives the focus back.

import { setTokenPrompt } from "/dashboard/ask.js";
import { byId, setText } from "/dashboard/elements.js";

for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close("")); // a form's own button would ask for its fields first
}

/** Show a dialog. Resolves with true if its form was submitted, false if it was left. */
export function opened(id) {
  const dialog = byId(id);
  dialog.returnValue = "";
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue !== ""), { once: true });
    dialog.showModal();
  });
}

// A form of a dialog closes it with the value of the button that submitted it; Escape and the buttons above with none.
for (const button of document.querySelectorAll("dialog button[type=submit]")) button.value = "yes";

/** Ask before something that cannot be taken back. */
export function confirmed(title, text, yes) {
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), yes);
  return opened("confirm-dialog");
}

/** Show a key this once; it is gone from the page when the dialog is. */
export async function showKey(org, key) {
  setText(byId("key-title"), `The new key of ${org}`);
  setText(byId("copied"), "");
  byId("key").value = key;
  await opened("key-dialog");
  byId("key").value = "";
}

byId("copy-key").addEventListener("click", async () => {
  const field = byId("key");
  try {
    await navigator.clipboard.writeText(field.value);
    setText(byId("copied"), "Copied.");
  } catch {
    // Beyond loopback without TLS there is no clipboard for pages: the older way works with a selection.
    field.select();
    setText(byId("copied"), document.execCommand("copy") ? "Copied." : "The browser does not let this page copy; the key is selected: press Ctrl+C.");
  }
});

setTokenPrompt(async (again) => {
  const field = byId("token");
  if (again) setText(byId("token-text"), "That is not this server’s token. It is in the file that serve --admin-token-file wrote.");
  for (;;) {
    field.value = "";
    await opened("token-dialog"); // without a token nothing can be shown, so that leaving it asks again
    const token = field.value.trim();
    field.value = "";
    if (/^[\x21-\x7e]+$/.test(token)) return token;
  }
});

/**
 * Copy texts, and say so.
 */

import { element, icon } from "./elements.js";

const SAID_MS = 1400;

/**
 * Copy a text. @returns {Promise<boolean>} whether it worked
 *
 * @param {string} text
 */
export async function copy(text) {
  const done = (await copyByPermission(text)) || copyBySelection(text);
  document.getElementById("said").textContent = done ? "Copied." : "Copying was not allowed.";
  return done;
}

/**
 * A button that copies what `text` gives when it is pressed.
 *
 * @param {string} words what is copied, for the label
 * @param {() => string|Promise<string>} text
 * @param {string} [shown] words beside the sign
 */
export function copyButton(words, text, shown = "") {
  const button = element(
    "button",
    { class: "quiet copy", type: "button", title: words, "aria-label": words },
    icon("copy"),
    shown ? element("span", {}, shown) : null,
  );
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    const done = await copy(await text());
    button.classList.add(done ? "copied" : "not-copied");
    setTimeout(() => button.classList.remove("copied", "not-copied"), SAID_MS);
  });
  return button;
}

async function copyByPermission(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const area = element("textarea", { class: "unseen", "aria-hidden": "true", readonly: true });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}

/**
 * The keyboard: what each key does, and the page that says so.
 */

import { element, icon } from "./elements.js";

/** Keys and words, as the help shows them. */
const KEYS = [
  ["/", "search the turns"],
  ["j k  or  ↓ ↑", "move in the list, in the wires, in the raw lines"],
  ["Home End", "to the first or last row"],
  ["Enter  or  o", "open the turn; once more: into it"],
  ["1 2 3 4", "timeline, wires, request, raw"],
  ["← →", "in the wires: from event to chunk and back"],
  ["d", "in the wires: fold deltas, or unfold them"],
  ["n N", "next or previous turn of the list"],
  ["f F", "next or previous filter"],
  ["c", "copy what is chosen"],
  ["t", "light, dark, as the system"],
  ["?", "this help"],
  ["Esc", "close, clear, back to the list"],
];

/**
 * Listen to the keyboard of the whole page.
 *
 * @param {Object<string, (event: KeyboardEvent) => void>} actions by key
 */
export function startKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target) && event.key !== "Escape") return;
    const action = actions[event.key];
    if (!action || (event.key === "Enter" && isPressable(event.target))) return;
    event.preventDefault();
    action(event);
  });
}

/** Fill the help once. @param {HTMLDialogElement} dialog */
export function makeHelp(dialog) {
  const rows = KEYS.map(([keys, words]) => [
    element(
      "dt",
      {},
      keys.split(/\s+/).map((key) => (key === "or" ? " or " : element("kbd", {}, key))),
    ),
    element("dd", {}, words),
  ]);
  const close = element(
    "button",
    { class: "quiet square", type: "button", "aria-label": "Close", onclick: () => dialog.close() },
    icon("close"),
  );
  dialog.replaceChildren(
    element("div", { class: "help-head" }, element("h2", { id: "help-title" }, "Keys"), close),
    element("dl", {}, rows),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

function isTyping(target) {
  return target.matches?.("input, textarea, select") ?? false;
}

function isPressable(target) {
  return target.matches?.("button, a, summary") ?? false;
}

/**
 * The recording as it stands in its file, and the forms that it can be written in.
 */

import { copyButton } from "./clipboard.js";
import { element, icon, say } from "./elements.js";
import { jsonTree } from "./json_tree.js";
import { fetchText, textAddress } from "./server.js";
import { VirtualList } from "./virtual_list.js";
import { bytes, count, many, visible } from "./words.js";

const FORMS = [
  ["raw", "records", "The recording: one JSON record on each line"],
  ["sse", "client SSE", "What the client was sent, as server-sent events"],
  ["jsonl", "client JSONL", "The client's events, one on each line"],
  ["provider-sse", "provider SSE", "What the provider sent"],
  ["curl", "curl", "A command that asks the provider the same"],
  ["pytest", "pytest", "A test that runs offline"],
];
const ROW_HEIGHT = 20;
const LINE_MAX = 2000;

/** The side "Raw" of a turn. */
export class Raw {
  #name = "";
  #version = null;
  #form = "raw";
  #loaded = "";
  #text = "";
  #lines = [];
  #chosen = -1;
  #list;

  constructor() {
    this.#make();
    this.#list = new VirtualList({
      scroller: this.scroller,
      rowHeight: ROW_HEIGHT,
      keyOf: (index) => index,
      stampOf: (index) => this.#lines[index],
      draw: (index) => drawLine(this.#lines[index], index),
      mark: (row, index) => {
        row.id = `line-${index}`;
        row.setAttribute("aria-selected", String(index === this.#chosen));
      },
    });
    this.scroller.addEventListener("click", (event) => {
      // Whoever marks text with the pointer does not choose a line.
      if (!String(getSelection())) this.#choose(this.#list.rowAt(event.clientY));
    });
    this.scroller.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Show a turn, or what it has become. @param {Object} turn @param {boolean} same */
  show(turn, same) {
    this.#name = turn.row.name;
    this.#version = turn.version;
    if (!same) this.#choose(-1);
    if (this.element.isConnected && !this.element.closest("[hidden]")) this.#load();
  }

  /** Fetch what is shown, now that it can be seen. */
  shown() {
    this.#load();
    this.#list.render();
  }

  /** Take the choice back. @returns {boolean} whether there was one */
  leave() {
    if (this.#chosen < 0) return false;
    this.#choose(-1);
    return true;
  }

  /** What `c` copies: the chosen line, or all. */
  get text() {
    return this.#lines[this.#chosen] ?? this.#text;
  }

  #make() {
    this.forms = element(
      "div",
      { class: "forms", role: "group", "aria-label": "Form" },
      FORMS.map((form) => this.#formButton(form)),
    );
    this.size = element("span", { class: "dim" });
    this.download = element(
      "a",
      { class: "quiet button", download: "" },
      icon("download"),
      "Download",
    );
    const tools = element(
      "div",
      { class: "raw-tools" },
      this.size,
      copyButton("Copy all", () => this.#text, "Copy all"),
      this.download,
    );
    this.scroller = element("div", {
      class: "raw-lines mono",
      role: "listbox",
      tabindex: "0",
      "aria-label": "Lines",
    });
    this.details = element("div", { class: "raw-details", hidden: true });
    this.element = element(
      "div",
      { class: "raw" },
      element("div", { class: "raw-head" }, this.forms, tools),
      this.scroller,
      this.details,
    );
    this.#markForm();
  }

  #formButton([form, words, title]) {
    const pick = () => {
      this.#form = form;
      this.#markForm();
      this.#load();
    };
    return element(
      "button",
      { type: "button", class: "chip", "data-form": form, title, onclick: pick },
      words,
    );
  }

  #markForm() {
    for (const button of this.forms.children)
      button.setAttribute("aria-pressed", String(button.dataset.form === this.#form));
  }

  async #load() {
    const [name, form, wanted] = [
      this.#name,
      this.#form,
      `${this.#name} ${this.#form} ${this.#version}`,
    ];
    if (!name || wanted === this.#loaded) return;
    const another = !this.#loaded.startsWith(`${name} ${form} `);
    this.#loaded = wanted;
    this.download.href = textAddress(name, form);
    let text;
    try {
      text = await fetchText(name, form);
    } catch (error) {
      text = "";
      say(this.size, error.message);
      this.#loaded = "";
    }
    if (this.#name === name && this.#form === form) this.#fill(text, another);
  }

  #fill(text, another) {
    this.#text = text;
    this.#lines = text.split("\n");
    if (this.#lines.at(-1) === "") this.#lines.pop();
    if (another) this.#choose(-1);
    this.#list.setCount(this.#lines.length);
    if (another) this.#list.scrollToStart();
    if (text) say(this.size, `${many(this.#lines.length, "line")}, ${bytes(text.length)}`);
  }

  #key(event) {
    const steps = {
      ArrowDown: 1,
      j: 1,
      ArrowUp: -1,
      k: -1,
      PageDown: this.#list.page,
      PageUp: -this.#list.page,
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) this.#move(this.#chosen + steps[event.key]);
    else if (event.key === "Home") this.#move(0);
    else if (event.key === "End") this.#move(this.#lines.length - 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #move(place) {
    const index = Math.min(this.#lines.length - 1, Math.max(0, place));
    this.#choose(index);
    this.#list.reveal(index);
  }

  #choose(index) {
    this.#chosen = index;
    const line = this.#lines[index];
    this.details.hidden = line === undefined;
    if (line === undefined) this.scroller.removeAttribute("aria-activedescendant");
    else {
      this.scroller.setAttribute("aria-activedescendant", `line-${index}`);
      this.details.replaceChildren(...detailsOf(line, index, () => this.leave()));
    }
    this.#list.render();
  }
}

function drawLine(line, index) {
  return element(
    "div",
    { class: "raw-line", role: "option" },
    element("span", { class: "raw-number" }, count(index + 1)),
    element("span", { class: "raw-text" }, visible(line, LINE_MAX)),
  );
}

function detailsOf(line, index, close) {
  let value;
  try {
    value = JSON.parse(line.replace(/^data: /, ""));
  } catch {
    value = line;
  }
  return [
    element(
      "div",
      { class: "message-head" },
      element("span", {}, `line ${count(index + 1)}`),
      copyButton("Copy the line", () => line),
      element(
        "button",
        {
          class: "quiet square",
          type: "button",
          "aria-label": "Close",
          title: "Close (Esc)",
          onclick: close,
        },
        icon("close"),
      ),
    ),
    jsonTree(value, 2),
  ];
}

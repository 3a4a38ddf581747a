/**
 * The chosen turn: its facts, its explanation, and its four sides.
 */

import { copyButton, copy } from "./clipboard.js";
import { element, icon, say } from "./elements.js";
import { Raw } from "./raw.js";
import { Requests } from "./requests.js";
import { SIDES } from "./route.js";
import { Transcript, explanation, explanationText } from "./transcript.js";
import { findingsIn } from "./turns.js";
import { timelineChart } from "./timeline.js";
import { Wires } from "./wires.js";
import { OUTCOMES, bytes, count, dayAndTime, oneLine, outcomeOf, span, speed } from "./words.js";

const TITLES = { timeline: "Timeline", wires: "Wires", request: "Request", raw: "Raw" };

/** The right side of the page. */
export class TurnView {
  #turn = null;
  #side = "timeline";
  #focusSoon = false;
  #told;

  /**
   * @param {HTMLElement} place
   * @param {Object} told
   * @param {(side: string, event?: number|null) => void} told.go another side, or an event, is wanted
   * @param {() => void} told.close back to the list
   */
  constructor(place, told) {
    this.place = place;
    this.#told = told;
    this.transcript = new Transcript();
    this.wires = new Wires({ chosen: (event) => told.go("wires", event) });
    this.requests = new Requests();
    this.raw = new Raw();
    this.#make();
    this.nothing();
  }

  /** Say that no turn is chosen. */
  nothing() {
    this.#turn = null;
    const words = element("p", {}, "Choose a turn to see what it did.");
    const keys = element(
      "p",
      { class: "dim" },
      element("kbd", {}, "j"),
      " ",
      element("kbd", {}, "k"),
      " move, ",
      element("kbd", {}, "Enter"),
      " opens, ",
      element("kbd", {}, "?"),
      " all keys",
    );
    this.place.replaceChildren(element("div", { class: "absence choose" }, words, keys));
  }

  /** Show what the list knows, while the rest is on its way. @param {string} name */
  begin(name, row) {
    this.#turn = null;
    this.#focusSoon = false;
    this.#put(this.loading);
    say(this.loading, "Reading the turn…");
    if (row) this.#showRow(row);
    else say(this.title, name);
    say(this.summary, "");
  }

  /** Say why the turn cannot be shown. @param {Error} error */
  fail(error) {
    if (this.#turn) return;
    say(this.loading, error.message);
  }

  /** Show a turn, or what it has become. @param {Object} turn its document */
  show(turn) {
    const same = this.#turn?.row.name === turn.row.name;
    this.#turn = turn;
    this.#showRow(turn.row, turn);
    if (!same) this.#put(...Object.values(this.panels));
    this.#showSummary(turn);
    this.#showTimeline(turn, same);
    this.wires.show(turn, same);
    this.requests.show(turn, same);
    this.raw.show(turn, same);
    if (same) return;
    this.#showSide();
    if (this.#focusSoon) this.focus();
  }

  get turn() {
    return this.#turn;
  }

  /** Turn to one of the sides. @param {string} side @param {number|null} event to be chosen in the wires */
  turnTo(side, event = null) {
    this.#side = side;
    this.#showSide();
    if (this.#turn && event !== null && side === "wires") this.wires.chooseEvent(event);
  }

  /** Copy what one most likely wants of the side that is shown. */
  copySide() {
    if (!this.#turn) return;
    if (this.#side === "wires" && this.wires.copyChosen()) return;
    if (this.#side === "raw") copy(this.raw.text);
    else if (this.#side === "request") copy(JSON.stringify(this.#turn.request.body, null, 2));
    else copy(explanationText(this.#turn));
  }

  /** Close what is open inside of the turn. @returns {boolean} whether something was */
  leave() {
    return this.#side === "wires" ? this.wires.leave() : this.#side === "raw" && this.raw.leave();
  }

  /** Put the keys where they move in the side that is shown, or will be once the turn is there. */
  focus() {
    this.#focusSoon = !this.#turn;
    if (this.#focusSoon) return;
    const target = { wires: this.wires.scroller, raw: this.raw.scroller }[this.#side];
    (target ?? this.panels[this.#side]).focus();
  }

  /** Put this below the tabs, which keep the focus if they have it. */
  #put(...below) {
    if (!this.tabs.isConnected) this.place.replaceChildren(this.head, this.tabs);
    while (this.tabs.nextSibling) this.tabs.nextSibling.remove();
    this.place.append(...below);
  }

  #make() {
    this.title = element("h2", { class: "turn-title" });
    this.outcome = element("span", { class: "outcome" });
    this.origin = element("p", { class: "origin" });
    this.numbers = element("dl", { class: "numbers" });
    this.summary = element("p", { class: "summary" });
    this.loading = element("div", { class: "absence", role: "status" });
    const back = element(
      "button",
      {
        class: "quiet square back",
        type: "button",
        title: "Back to the turns (Esc)",
        "aria-label": "Back to the turns",
        onclick: () => this.#told.close(),
      },
      icon("back"),
    );
    const tools = element(
      "div",
      { class: "turn-tools" },
      copyButton(
        "Copy the explanation",
        () => (this.#turn ? explanationText(this.#turn) : ""),
        "Explanation",
      ),
      this.#linkButton(),
    );
    this.head = element(
      "header",
      { class: "turn-head" },
      element("div", { class: "turn-line" }, back, this.outcome, this.title, tools),
      this.origin,
      this.numbers,
      this.summary,
    );
    this.#makeTabs();
    this.#makePanels();
  }

  #linkButton() {
    const button = copyButton("Copy a link to this", () => location.href, "Link");
    button.querySelector("svg").replaceWith(icon("link"));
    return button;
  }

  #makeTabs() {
    const tab = (side, number) =>
      element(
        "button",
        {
          class: "tab",
          type: "button",
          role: "tab",
          id: `tab-${side}`,
          "aria-controls": `side-${side}`,
          title: `${TITLES[side]} (${number + 1})`,
          onclick: () => this.#told.go(side),
        },
        TITLES[side],
        element("span", { class: "number" }),
      );
    this.tabs = element(
      "div",
      { class: "tabs", role: "tablist", "aria-label": "Sides of the turn" },
      SIDES.map(tab),
    );
    this.tabs.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = SIDES[(SIDES.indexOf(this.#side) + step + SIDES.length) % SIDES.length];
      this.#told.go(next);
      document.getElementById(`tab-${next}`).focus();
    });
  }

  #makePanels() {
    this.points = element("div", {});
    this.chart = element("div", {});
    const timeline = [
      section("What happened", this.points),
      section("When", this.chart),
      section("In words", this.transcript.element),
    ];
    const inside = {
      timeline,
      wires: this.wires.element,
      request: this.requests.element,
      raw: this.raw.element,
    };
    this.panels = Object.fromEntries(
      SIDES.map((side) => [
        side,
        element(
          "div",
          {
            class: `panel panel-${side}`,
            role: "tabpanel",
            id: `side-${side}`,
            "aria-labelledby": `tab-${side}`,
            tabindex: "-1",
            hidden: true,
          },
          inside[side],
        ),
      ]),
    );
  }

  #showSide() {
    for (const side of SIDES) {
      const chosen = side === this.#side;
      const tab = this.tabs.querySelector(`#tab-${side}`);
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      this.panels[side].hidden = !chosen;
    }
    if (this.#turn && this.#side === "wires") this.wires.shown();
    if (this.#turn && this.#side === "raw") this.raw.shown();
  }

  #showRow(row, turn = null) {
    const outcome = outcomeOf(row.status);
    say(this.title, oneLine(row.prompt, 200) || "No words of a user");
    this.outcome.className = `outcome is-${outcome}`;
    if (this.outcome.dataset.outcome !== outcome)
      this.outcome.replaceChildren(icon(outcome), element("span", {}, outcome));
    this.outcome.dataset.outcome = outcome;
    this.outcome.title = OUTCOMES[outcome];
    say(this.origin, originOf(row));
    showNumbers(this.numbers, numbersOf(row, turn));
    document.title = `${outcome}: ${oneLine(row.prompt, 60)} · Anyturn inspector`;
  }

  #showSummary(turn) {
    this.summary.className = `summary ${toneOf(turn)}`;
    say(this.summary, oneLine(summaryOf(turn), 1000));
    const counts = { wires: turn.chunks.length + turn.events.length };
    for (const side of SIDES) {
      say(this.tabs.querySelector(`#tab-${side} .number`), counts[side] ? count(counts[side]) : "");
    }
  }

  #showTimeline(turn, same) {
    const stamp = JSON.stringify([
      turn.explanation.verdicts,
      turn.findings,
      turn.problems,
      turn.lost,
    ]);
    const goTo = (event) => this.#told.go("wires", event);
    if (!same || this.points.dataset.stamp !== String(hash(stamp))) {
      this.points.dataset.stamp = String(hash(stamp));
      const drawn = explanation(turn, goTo);
      this.points.replaceChildren(drawn);
      this.points.closest("section").hidden = !drawn.childElementCount;
    }
    this.chart.replaceChildren(timelineChart(turn, (entry) => this.transcript.reveal(entry), goTo));
    this.transcript.show(turn, same);
    this.transcript.element.closest("section").hidden = turn.timeline.entries.length === 0;
  }
}

function toneOf(turn) {
  if (turn.row.status === "live") return "running";
  if (turn.explanation.verdicts.some((one) => !one.runs)) return "bad";
  return turn.findings.length || turn.problems.length ? "odd" : "good";
}

function summaryOf({ explanation: { summary }, end }) {
  return end?.error
    ? `${summary} The turn failed: ${end.error.message ?? end.error.code}`
    : summary;
}

function section(title, content) {
  return element("section", { class: "side-section" }, element("h3", {}, title), content);
}

function originOf(row) {
  const client = [row.client, row.client_version].filter(Boolean).join(" ") || "an unnamed client";
  const model = oneLine(row.model, 80) || "no model";
  return `${oneLine(client, 80)} → ${model}${row.provider ? ` at ${oneLine(row.provider, 60)}` : ""} · ${dayAndTime(row.started)}`;
}

function numbersOf(row, turn) {
  return [
    ["first event", span(row.first_event)],
    ["duration", span(row.duration ?? turn?.events.at(-1)?.t)],
    ["tokens in", count(row.input_tokens)],
    ["tokens out", count(row.output_tokens)],
    ["tokens/s", speed(row.tokens_per_s)],
    ["adaptations", count(row.adaptations)],
    ["findings", count(findingsIn(row))],
    ["recording", bytes(row.bytes)],
  ];
}

function showNumbers(place, numbers) {
  if (place.childElementCount !== numbers.length) {
    place.replaceChildren(
      ...numbers.map(([name]) => element("div", {}, element("dt", {}, name), element("dd", {}))),
    );
  }
  numbers.forEach(([, value], index) => say(place.children[index].lastElementChild, value));
}

/** A short stamp of a text that may be long. */
function hash(text) {
  let value = text.length;
  for (let place = 0; place < text.length; place += 1)
    value = (value * 31 + text.charCodeAt(place)) | 0;
  return value;
}

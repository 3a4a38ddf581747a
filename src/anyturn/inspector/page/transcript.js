/**
 * A turn in words: the verdicts, and what was thought, said, called and returned, in order.
 */

import { copyButton } from "./clipboard.js";
import { element, icon } from "./elements.js";
import { jsonTree, text } from "./json_tree.js";
import { isCall, kindOfEntry, nameOfEntry, stateOfCall } from "./timeline.js";
import { many, oneLine, span, visible } from "./words.js";

const ENTRIES_AT_ONCE = 100;
const VERDICTS_AT_ONCE = 12;

/**
 * What happened, whose fault it is, and what to do.
 *
 * @param {Object} turn its document
 * @param {(event: number) => void} goTo an event is to be seen in the wires
 */
export function explanation(turn, goTo) {
  const points = [
    ...turn.problems.map(drawProblem),
    ...turn.lost.map(drawLost),
    ...turn.explanation.verdicts.map(drawVerdict),
    ...turn.findings.map((finding) => drawFinding(finding, goTo)),
  ];
  return paged(element("ul", { class: "points" }), points, VERDICTS_AT_ONCE);
}

/** The explanation as plain text, for a report. */
export function explanationText(turn) {
  const lines = [turn.explanation.summary];
  for (const one of turn.explanation.verdicts) {
    lines.push("", `${one.runs ? "✔" : "✘"} ${one.title}`, `  ${one.what}`);
    if (!one.runs)
      lines.push(
        ...told([
          ["rule", one.rule],
          ["seen", one.evidence],
          ["fault", one.whose],
          ["do", one.advice],
        ]),
      );
  }
  for (const one of turn.findings) {
    lines.push(
      "",
      `! ${one.rule} at ${one.where}`,
      `  ${one.what}`,
      ...told([
        ["fault", one.fault],
        ["do", one.advice],
      ]),
    );
  }
  return lines.join("\n");
}

function told(pairs) {
  return pairs.filter(([, value]) => value).map(([name, value]) => `  ${name}: ${value}`);
}

function drawVerdict(one) {
  const facts = one.runs
    ? []
    : [
        ["rule", one.rule],
        ["seen", one.evidence],
        ["fault", one.whose],
        ["do", one.advice],
      ];
  return point(one.runs ? "completed" : "failed", one.title, one.what, facts);
}

function drawFinding(one, goTo) {
  const event = /^event (\d{1,9})$/.exec(one.where ?? "");
  const show = () => goTo(Number(event[1]));
  const where = event
    ? element(
        "button",
        { class: "more", type: "button", title: "Show it in the wires", onclick: show },
        one.where,
      )
    : one.where;
  return point("finding", one.rule, one.what, [
    ["at", where],
    ["fault", one.fault],
    ["do", one.advice],
  ]);
}

function drawProblem(words) {
  return point("finding", "the recording", words, []);
}

function drawLost(lost) {
  return point(
    "lost",
    "the recording",
    `${many(lost.records, "record")} at ${span(lost.t)} are missing: ${lost.why}`,
    [],
  );
}

function point(sign, title, what, facts) {
  return element(
    "li",
    { class: `point point-${sign}` },
    icon(sign, sign),
    element(
      "div",
      { class: "point-body" },
      element("p", {}, element("strong", {}, `${oneLine(title, 200)}:`), " ", prose(what)),
      element(
        "dl",
        {},
        facts
          .filter(([, value]) => value)
          .map(([name, value]) => [
            element("dt", {}, name),
            element(
              "dd",
              { class: name === "seen" ? "mono" : null },
              typeof value === "string" ? prose(value) : value,
            ),
          ]),
      ),
    ),
  );
}

/** A sentence, with what stands in backquotes set as code. */
function prose(words) {
  const parts = visible(words, 2000).split("`");
  if (parts.length % 2 === 0) return visible(words, 2000);
  return parts.map((part, place) => (place % 2 ? element("code", {}, part) : part));
}

/** The entries of a turn, each drawn anew only when it has changed. */
export class Transcript {
  #blocks = [];

  constructor() {
    this.element = element("div", { class: "transcript" });
  }

  /** @param {Object} turn @param {boolean} same whether it is what was shown, further on */
  show(turn, same) {
    const { entries } = turn.timeline;
    if (!same || this.#blocks.length > entries.length) {
      this.#blocks = [];
      this.element.replaceChildren();
    }
    const shown = Math.min(entries.length, Math.max(ENTRIES_AT_ONCE, this.#blocks.length));
    for (let number = 0; number < shown; number += 1) this.#place(turn, number);
    this.element.querySelector(":scope > .more")?.remove();
    if (shown < entries.length) this.element.append(this.#moreOf(turn, shown));
  }

  /** Bring an entry into sight. */
  reveal(number) {
    const block = this.#blocks[number]?.element;
    if (!block) return;
    block.scrollIntoView({ block: "nearest" });
    for (const one of this.element.children) one.classList.toggle("chosen", one === block);
  }

  #place(turn, number) {
    const entry = turn.timeline.entries[number];
    const stamp = JSON.stringify([entry, turn.row.status]);
    const known = this.#blocks[number];
    if (known?.stamp === stamp) return;
    const drawn = isCall(entry) ? drawCall(turn, entry) : drawSaid(entry);
    if (known) known.element.replaceWith(drawn);
    else this.element.append(drawn);
    this.#blocks[number] = { element: drawn, stamp };
  }

  #moreOf(turn, shown) {
    const { entries } = turn.timeline;
    const button = element(
      "button",
      { class: "more", type: "button" },
      `${entries.length - shown} more`,
    );
    button.addEventListener("click", () => {
      const until = Math.min(entries.length, shown + ENTRIES_AT_ONCE);
      for (let number = shown; number < until; number += 1) this.#place(turn, number);
      this.show(turn, true);
    });
    return button;
  }
}

function drawSaid(entry) {
  const times =
    entry.ended === null ? span(entry.began) : `${span(entry.began)} → ${span(entry.ended)}`;
  return block(entry, times, [element("div", { class: "said" }, text(entry.text))], entry.text);
}

function drawCall(turn, call) {
  const until = call.done === null ? stateOfCall(turn, call) : span(call.done);
  const deltas = call.deltas ? ` · ${many(call.deltas, "delta")}` : "";
  const parts = [element("div", { class: "said mono" }, argumentsOf(call))];
  if (call.output !== null) {
    const after = call.output_after === null ? "" : `, ${span(call.output_after)} later`;
    parts.push(
      element(
        "div",
        { class: "output" },
        element(
          "div",
          { class: "output-head" },
          icon("completed"),
          element("span", {}, `output${after}`),
          copyButton("Copy the output", () => call.output),
        ),
        element("div", { class: "said mono" }, text(call.output)),
      ),
    );
  }
  return block(call, `${span(call.announced)} → ${until}${deltas}`, parts, call.text);
}

function argumentsOf(call) {
  const value = call.done === null ? undefined : parsedObject(call.text);
  return value === undefined ? text(call.text) : jsonTree(value, 2);
}

function parsedObject(words) {
  try {
    const value = JSON.parse(words);
    return value !== null && typeof value === "object" ? value : undefined;
  } catch {
    return undefined;
  }
}

function block(entry, times, parts, words) {
  const what = isCall(entry) ? "the arguments" : `the ${entry.kind}`;
  return element(
    "section",
    { class: `entry kind-${kindOfEntry(entry)}` },
    element(
      "div",
      { class: "entry-head" },
      element(
        "span",
        { class: `entry-name${isCall(entry) ? " mono" : ""}` },
        oneLine(nameOfEntry(entry), 120),
      ),
      element("span", { class: "entry-id mono" }, oneLine(entry.call_id ?? "", 80)),
      element("span", { class: "entry-times" }, times),
      copyButton(`Copy ${what}`, () => words),
    ),
    parts,
  );
}

function paged(list, points, atOnce) {
  list.append(...points.slice(0, atOnce));
  const rest = points.slice(atOnce);
  if (!rest.length) return list;
  const button = element("button", { class: "more", type: "button" }, `${rest.length} more`);
  button.addEventListener("click", () => {
    button.closest("li").remove();
    paged(list, rest, atOnce);
  });
  list.append(element("li", {}, button));
  return list;
}

/**
 * What was asked: by the client, and of the provider.
 */

import { copyButton } from "./clipboard.js";
import { element } from "./elements.js";
import { jsonTree, prettyJson } from "./json_tree.js";
import { isRelayed } from "./wire_rows.js";
import { oneLine, span } from "./words.js";

/** The side "Request" of a turn. */
export class Requests {
  #stamp = "";

  constructor() {
    this.element = element("div", { class: "requests" });
  }

  /** @param {Object} turn @param {boolean} same */
  show(turn, same) {
    const stamp = `${turn.asked.length} ${Object.keys(turn.request.body).length}`;
    if (same && stamp === this.#stamp) return;
    this.#stamp = stamp;
    if (isRelayed(turn)) {
      const urls = turn.asked.map(({ url }) =>
        element("p", { class: "dim" }, `Passed on unchanged to ${oneLine(url, 200)}`),
      );
      this.element.replaceChildren(column("Client → backend", [...urls, clientRequest(turn)]));
      return;
    }
    this.element.replaceChildren(
      column("Client → gateway", [clientRequest(turn)]),
      column(
        "Gateway → provider",
        turn.asked.length ? turn.asked.map(providerRequest) : [nobody()],
      ),
    );
  }
}

function nobody() {
  return element("p", { class: "dim" }, "No provider was asked.");
}

function column(title, parts) {
  return element("section", { class: "request-column" }, element("h3", {}, title), parts);
}

function clientRequest({ request, head }) {
  const who = [head.client, head.client_version].filter(Boolean).join(" ");
  return element(
    "div",
    {},
    titled(
      who ? oneLine(who, 100) : "client",
      () => prettyJson(request.body),
      "Copy the client's request",
    ),
    headers(request.headers),
    jsonTree(request.body, 2),
  );
}

function providerRequest({ t, url, body }, number) {
  const when = number ? `asked again at ${span(t)}` : `at ${span(t)}`;
  return element(
    "div",
    {},
    titled(`${oneLine(url, 200)}, ${when}`, () => prettyJson(body), "Copy the provider's request"),
    jsonTree(body, 2),
  );
}

function titled(words, text, label) {
  return element(
    "div",
    { class: "message-head" },
    element("span", {}, words),
    copyButton(label, text),
  );
}

function headers(all) {
  const names = Object.keys(all);
  if (!names.length) return null;
  const rows = names.map((name) => [
    element("dt", {}, oneLine(name, 100)),
    element("dd", { class: "mono" }, oneLine(all[name], 500)),
  ]);
  return element(
    "details",
    { class: "headers" },
    element("summary", {}, `${names.length} headers`),
    element("dl", {}, rows),
  );
}

/**
 * What a chunk or an event says, in a few words: its kind, its title, and the text it carries.
 */

import { oneLine } from "./words.js";

const TEXT_MAX = 300;

/** @typedef {{kind: string, title: string, text: string}} Words `kind` is one of text, thought, call, end, fault, frame */

const KINDS_OF_EVENTS = [
  [/error|failed/, "fault"],
  [/\.(completed|incomplete)$/, "end"],
  [/reasoning/, "thought"],
  [/output_text|refusal|content_part/, "text"],
  [/call|arguments|custom_tool/, "call"],
];
const KINDS_OF_ITEMS = { message: "text", reasoning: "thought" };

/** @param {Object} event @returns {Words} */
export function wordsOfEvent(event) {
  const type = typeof event?.type === "string" ? event.type : "event without a type";
  return {
    kind: kindOfEvent(type, event),
    title: oneLine(type.replace(/^response\./, ""), 80),
    text: textOfEvent(event),
  };
}

/** @param {string} data the data of a chunk @returns {Words} */
export function wordsOfChunk(data) {
  if (data.trim() === "[DONE]") return { kind: "end", title: "[DONE]", text: "" };
  const value = parsed(data);
  if (value === undefined)
    return { kind: "frame", title: "not JSON", text: oneLine(data, TEXT_MAX) };
  if (typeof value?.type === "string" && !value.choices) return wordsOfEvent(value);
  if (value?.error)
    return { kind: "fault", title: "error", text: brief(value.error.message ?? value.error) };
  return wordsOfChoice(value);
}

/** The JSON in a chunk's data, also behind the name of an event; undefined where there is none. */
export function parsed(data) {
  const begin = data.startsWith("event:") ? data.indexOf("\ndata: ") + 7 : 0;
  try {
    return JSON.parse(data.slice(begin));
  } catch {
    return undefined;
  }
}

function kindOfEvent(type, event) {
  if (event?.item?.type) {
    const item = String(event.item.type);
    return KINDS_OF_ITEMS[item] ?? (item.endsWith("_call") ? "call" : "frame");
  }
  if (/^response\.content_part/.test(type))
    return event.part?.type?.startsWith?.("reasoning") ? "thought" : "text";
  return KINDS_OF_EVENTS.find(([pattern]) => pattern.test(type))?.[1] ?? "frame";
}

function textOfEvent(event) {
  if (typeof event?.delta === "string") return oneLine(event.delta, TEXT_MAX);
  if (event?.item) return textOfItem(event.item);
  if (event?.response?.error?.message) return oneLine(event.response.error.message, TEXT_MAX);
  if (event?.response) return textOfResponse(event.response);
  for (const name of ["arguments", "input", "text", "refusal", "message"]) {
    if (typeof event?.[name] === "string") return oneLine(event[name], TEXT_MAX);
  }
  return event?.part ? oneLine(event.part.text ?? event.part.type ?? "", TEXT_MAX) : "";
}

function textOfItem(item) {
  const name = [item.namespace, item.name]
    .filter((part) => typeof part === "string" && part)
    .join(".");
  const said =
    item.arguments ?? item.input ?? item.content?.[0]?.text ?? item.summary?.[0]?.text ?? "";
  return [oneLine(item.type ?? "", 40), oneLine(name, 80), brief(said)].filter(Boolean).join(" ");
}

function textOfResponse(response) {
  const usage = response.usage;
  const tokens = usage ? `${usage.input_tokens} + ${usage.output_tokens} tokens` : "";
  const reason = response.incomplete_details?.reason ?? "";
  return [response.status ?? "", reason, tokens]
    .map((part) => oneLine(String(part), 80))
    .filter(Boolean)
    .join(" · ");
}

function wordsOfChoice(chunk) {
  const choice = Array.isArray(chunk?.choices) ? chunk.choices[0] : undefined;
  const delta = choice?.delta ?? choice?.message ?? {};
  const finish = choice?.finish_reason;
  if (delta.tool_calls?.length) return wordsOfCalls(delta.tool_calls, finish);
  const thought = delta.reasoning ?? delta.reasoning_content;
  if (thought) return { kind: "thought", title: "reasoning", text: brief(thought) };
  if (delta.content) return { kind: "text", title: "content", text: brief(delta.content) };
  if (finish)
    return {
      kind: "end",
      title: "finish",
      text: `${oneLine(String(finish), 60)}${tokensOf(chunk)}`,
    };
  if (chunk?.usage) return { kind: "frame", title: "usage", text: tokensOf(chunk).trim() };
  if (delta.role) return { kind: "frame", title: "role", text: oneLine(String(delta.role), 40) };
  return { kind: "frame", title: "chunk", text: "" };
}

function wordsOfCalls(calls, finish) {
  const told = calls.map((call) => {
    const { name, arguments: said } = call?.function ?? {};
    return [
      name ? oneLine(String(name), 80) : "",
      said === undefined || said === null ? "" : brief(said),
    ]
      .filter(Boolean)
      .join(" ");
  });
  const numbers = calls.map((call) => call?.index ?? "").join(",");
  return {
    kind: "call",
    title: `tool_call ${numbers}`.trim(),
    text: told.join("  ") + (finish ? `  ${finish}` : ""),
  };
}

function tokensOf(chunk) {
  const usage = chunk?.usage;
  return usage ? ` ${usage.prompt_tokens ?? "?"} + ${usage.completion_tokens ?? "?"} tokens` : "";
}

function brief(value) {
  return oneLine(typeof value === "string" ? value : JSON.stringify(value), TEXT_MAX);
}

/**
 * The inspector: a list of turns, one of them opened, and what keeps both up to date.
 */

import { element, say } from "./elements.js";
import { startHints } from "./hint.js";
import { makeHelp, startKeys } from "./keys.js";
import { Plots } from "./plots.js";
import { SIDES, readPlace, writePlace } from "./route.js";
import { Feed, fetchTurn } from "./server.js";
import { startTheme } from "./theme.js";
import { TurnList } from "./turn_list.js";
import { TurnView } from "./turn.js";
import { Turns } from "./turns.js";
import { oneLine } from "./words.js";

// A long turn that grows is not read again and again without a pause.
const PAUSE_FACTOR = 3;
const LEAST_PAUSE_MS = 150;
const STATES = {
  loading: "connecting",
  live: "watching",
  lost: "connection lost, trying again",
  refused: "link expired",
};

const byId = (id) => document.getElementById(id);

class Inspector {
  turns = new Turns();
  place = readPlace("");
  #fetching = false;
  #stale = false;

  start() {
    startTheme(byId("theme"));
    startHints(byId("hint"));
    makeHelp(byId("help"));
    this.plots = new Plots(byId("plots"), (name) => this.open(name));
    this.list = new TurnList(this.turns, {
      open: (name) => this.open(name),
      selected: () => this.showPlots(),
    });
    this.view = new TurnView(byId("turn"), {
      go: (side, event) => this.go(side, event),
      close: () => this.close(),
    });
    this.feed = new Feed({
      list: (list) => this.#takeList(list),
      changes: (changes) => this.#takeChanges(changes),
      state: (state, error) => this.#say(state, error),
    });
    this.#listen();
    this.#say("loading");
    this.feed.start();
    this.#arrive();
  }

  /** Open a turn on the side that is shown. */
  open(name) {
    if (name === this.place.name) this.view.focus();
    else this.#goTo({ name, side: this.place.side, event: null });
  }

  /** Turn to a side of the opened turn. */
  go(side, event = null) {
    if (this.place.name) this.#goTo({ name: this.place.name, side, event });
  }

  close() {
    this.#goTo({ name: "", side: this.place.side, event: null });
    this.list.scroller.focus();
  }

  showPlots() {
    this.plots.show(this.turns.shown, this.place.name);
  }

  #listen() {
    addEventListener("hashchange", () => this.#arrive());
    byId("show-help").addEventListener("click", () => byId("help").showModal());
    const side = (number) => () => {
      this.go(SIDES[number]);
      if (this.place.name) this.view.focus();
    };
    startKeys({
      "/": () => this.list.search.select(),
      j: () => this.#move(1),
      k: () => this.#move(-1),
      ArrowDown: () => this.#move(1),
      ArrowUp: () => this.#move(-1),
      Enter: () => this.list.openCursor(),
      o: () => this.list.openCursor(),
      n: () => this.#next(1),
      N: () => this.#next(-1),
      f: () => this.list.nextFilter(),
      F: () => this.list.nextFilter(-1),
      c: () => this.view.copySide(),
      t: () => byId("theme").click(),
      "?": () => byId("help").showModal(),
      Escape: () => this.#escape(),
      ...Object.fromEntries(SIDES.map((_, number) => [String(number + 1), side(number)])),
    });
  }

  #move(step) {
    this.list.scroller.focus();
    this.list.move(step);
  }

  #next(step) {
    this.list.move(step);
    this.list.openCursor();
  }

  #escape() {
    if (byId("help").open) byId("help").close();
    else if (this.list.search === document.activeElement) {
      this.list.clear();
      this.list.scroller.focus();
    } else if (this.view.leave()) return;
    else if (byId("turn").contains(document.activeElement) && !isNarrow())
      this.list.scroller.focus();
    else if (!this.list.clear() && this.place.name) this.close();
  }

  #goTo(place) {
    const hash = writePlace(place);
    if (hash === location.hash) return;
    // Choosing one event after the other is no reason to press "back" as often.
    const same = place.name === this.place.name && place.side === this.place.side;
    if (same) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
    this.#arrive();
  }

  /** Show what the address says. */
  #arrive() {
    const before = this.place;
    this.place = readPlace(location.hash);
    byId("panes").classList.toggle("opened", Boolean(this.place.name));
    if (!this.place.name) this.view.nothing();
    else if (before.name !== this.place.name) this.#begin();
    const moved = before.name !== this.place.name || before.side !== this.place.side;
    const isChosen = !moved && before.event === this.place.event;
    if (moved || !isChosen) this.view.turnTo(this.place.side, moved ? this.place.event : null);
    if (before.name !== this.place.name) {
      this.list.opened(this.place.name);
      this.showPlots();
    }
    if (!this.place.name) document.title = "Anyturn inspector";
  }

  #begin() {
    this.view.begin(this.place.name, this.turns.named(this.place.name));
    this.#stale = true;
    this.#fetch();
  }

  #takeList(list) {
    this.turns.load(list);
    this.#refresh();
    this.#again();
  }

  #takeChanges(changes) {
    this.turns.apply(changes);
    this.#refresh();
    if (changes.rows.some((row) => row.name === this.place.name) || this.#awaitsOutput())
      this.#again();
  }

  #refresh() {
    say(byId("folder"), oneLine(this.turns.folder, 300));
    byId("folder").title = this.turns.folder;
    this.list.refresh();
    this.showPlots();
  }

  /** Whether a later turn may tell what became of a call. */
  #awaitsOutput() {
    const entries = this.view.turn?.timeline.entries ?? [];
    return entries.some((entry) => entry.call_id && entry.output === null);
  }

  #again() {
    if (!this.place.name) return;
    this.#stale = true;
    this.#fetch();
  }

  /** Fetch the opened turn until nothing newer is known, one answer after the other. */
  async #fetch() {
    if (this.#fetching) return;
    this.#fetching = true;
    while (this.#stale && this.place.name) {
      this.#stale = false;
      const began = performance.now();
      await this.#fetchOnce(this.place.name);
      if (!this.#stale) break;
      const another = this.view.turn?.row.name !== this.place.name;
      if (!another)
        await pause(Math.max(LEAST_PAUSE_MS, PAUSE_FACTOR * (performance.now() - began)));
    }
    this.#fetching = false;
  }

  async #fetchOnce(name) {
    const known = this.view.turn?.row.name === name ? this.view.turn.version : undefined;
    try {
      const turn = await fetchTurn(name, known);
      if (name !== this.place.name || !turn.row) return;
      const first = known === undefined;
      this.view.show(turn);
      if (first) this.view.turnTo(this.place.side, this.place.event);
    } catch (error) {
      if (name === this.place.name) this.view.fail(error);
    }
  }

  #say(state, error = null) {
    const place = byId("connection");
    place.className = `connection is-${state}`;
    say(place, STATES[state]);
    document.body.classList.toggle("lost", state === "lost" || state === "refused");
    this.list.say(state, error);
  }
}

/** Whether list and turn take turns in one column. */
function isNarrow() {
  return matchMedia("(max-width: 760px)").matches;
}

function pause(millis) {
  return new Promise((resolve) => setTimeout(resolve, millis));
}

try {
  new Inspector().start();
} catch (error) {
  document.body.append(
    element(
      "p",
      { class: "broken", role: "alert" },
      `The inspector's page failed: ${error.message}`,
    ),
  );
  throw error;
}

/**
 * Light, dark, or as the system has it.
 */

import { icon } from "./elements.js";

const THEMES = ["auto", "light", "dark"];
const WORDS = {
  auto: "Colours as the system has them",
  light: "Light colours",
  dark: "Dark colours",
};
const STORED = "anyturn-inspector-theme";

/** Take the theme of last time, and let the button change it. @param {HTMLElement} button */
export function startTheme(button) {
  const change = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.replaceChildren(icon(theme));
    button.title = `${WORDS[theme]} (t)`;
    button.setAttribute("aria-label", WORDS[theme]);
  };
  change(remembered());
  button.addEventListener("click", () => {
    const now = document.documentElement.dataset.theme;
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    change(next);
    remember(next);
  });
}

function remembered() {
  try {
    const theme = localStorage.getItem(STORED);
    return THEMES.includes(theme) ? theme : "auto";
  } catch {
    return "auto";
  }
}

function remember(theme) {
  try {
    localStorage.setItem(STORED, theme);
  } catch {
    // A browser that stores nothing asks the system again next time.
  }
}

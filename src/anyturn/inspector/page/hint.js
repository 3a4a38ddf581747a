/**
 * Words beside what the pointer is on, or the focus: of everything with `data-hint`.
 */

const AWAY = 12;

/** Listen for hints in the whole page. @param {HTMLElement} box */
export function startHints(box) {
  let about = null;
  const show = (target, x, y) => {
    about = target;
    box.textContent = target.dataset.hint;
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    const left = Math.min(x + AWAY, innerWidth - width - AWAY);
    const top = y + AWAY + height > innerHeight ? y - AWAY - height : y + AWAY;
    box.style.left = `${Math.max(AWAY, left)}px`;
    box.style.top = `${Math.max(AWAY, top)}px`;
  };
  const hide = () => {
    about = null;
    box.hidden = true;
  };
  document.addEventListener("pointermove", (event) => {
    const target = event.target.closest?.("[data-hint]");
    if (target) show(target, event.clientX, event.clientY);
    else if (about) hide();
  });
  document.addEventListener("focusin", (event) => {
    const target = event.target;
    if (!target.dataset?.hint || !target.matches(":focus-visible")) return;
    const place = target.getBoundingClientRect();
    show(target, place.left, place.bottom);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, true);
  document.addEventListener("pointerleave", hide);
}

// Small things that the theme lacks.
"use strict";
(() => {
  // What scrolls by itself can be reached by keys.
  const reachable = () => {
    for (const box of document.querySelectorAll(".cell_output .output, .highlight pre, .formula, .pst-scrollable-table-container")) {
      if (box.scrollWidth > box.clientWidth + 1) box.setAttribute("tabindex", "0");
    }
  };
  addEventListener("load", reachable);
  addEventListener("resize", reachable);
  document.addEventListener("toggle", reachable, true);

  // The theme's folding arrows have no name.
  for (const arrow of document.querySelectorAll(".toctree-toggle")) arrow.parentElement.setAttribute?.("aria-label", "Show or hide its pages");

  // A picture opens at its full size: on a phone it is small.
  for (const picture of document.querySelectorAll(".bd-article img")) {
    if (picture.closest("a")) continue;
    const link = document.createElement("a");
    link.href = picture.src;
    picture.replaceWith(link);
    link.append(picture);
  }

  // Terms: the first sentence of their entry, when a link to the glossary is pointed at or focused.
  const tip = document.createElement("div");
  tip.id = "term-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  const hide = () => { tip.hidden = true; };
  for (const link of document.querySelectorAll('a[href*="glossary.html#"][title]')) {
    const text = link.title;
    link.removeAttribute("title");
    link.classList.add("term");
    link.setAttribute("aria-describedby", "term-tip");
    const show = () => {
      tip.textContent = text;
      tip.hidden = false;
      const box = link.getBoundingClientRect();
      tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8)) + scrollX}px`;
      tip.style.top = `${box.bottom + 6 + scrollY}px`;
    };
    link.addEventListener("mouseenter", show);
    link.addEventListener("focus", show);
    link.addEventListener("mouseleave", hide);
    link.addEventListener("blur", hide);
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
})();

// The interactive pieces of the site; each is put where a page has <div class="explorer" data-explorer="…">.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";

  /** An element with attributes and children; SVG inside of svg(). */
  function make(name, attributes = {}, ...children) {
    return fill(document.createElement(name), attributes, children);
  }
  function svg(name, attributes = {}, ...children) {
    return fill(document.createElementNS(SVG, name), attributes, children);
  }
  function fill(element, attributes, children) {
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  const percent = (share) => `${Math.round(100 * share)} %`;
  let made = 0;
  function labelled(text, control) {
    control.id = `explorer-${made++}`;
    return [make("label", { for: control.id }, text), control];
  }
  function slider(label) {
    return make("input", { type: "range", min: 0, step: 1, "aria-label": label });
  }

  // ---- A threshold on the scores

  /** Corners of the ROC curve, from "nobody is positive" on; positive are scores of at least the threshold. */
  function corners(y, scores) {
    const thresholds = [Infinity, ...[...new Set(scores)].sort((a, b) => b - a)];
    const positives = y.filter((label) => label).length, negatives = y.length - positives;
    return thresholds.map((threshold) => {
      const tp = y.filter((label, i) => label && scores[i] >= threshold).length;
      const fp = y.filter((label, i) => !label && scores[i] >= threshold).length;
      return { threshold, tp, fp, fn: positives - tp, tn: negatives - fp, hits: tp / positives, alarms: fp / negatives };
    });
  }
  function area(curve) {
    let sum = 0;
    for (let i = 1; i < curve.length; i++) sum += (curve[i].alarms - curve[i - 1].alarms) * (curve[i].hits + curve[i - 1].hits) / 2;
    return sum;
  }

  function thresholdExplorer(place, data) {
    const chooser = make("select");
    for (const study of new Set(data.arms.map((arm) => arm.study))) {
      const group = make("optgroup", { label: study });
      data.arms.forEach((arm, i) => arm.study === study && group.append(make("option", { value: i }, arm.label)));
      chooser.append(group);
    }
    const range = slider("Threshold of the score");
    const dots = svg("svg", { class: "dots", role: "img" });
    let width = 640; // in pixels of the screen, so that letters and dots are as large on a phone
    const plot = svg("svg", { viewBox: "-42 -12 362 362", role: "img" });
    const table = make("table"), words = make("p", { "aria-live": "polite" }), about = make("p", { class: "provenance" });
    const hint = make("p", { class: "provenance" }, "Drag the line, or use the arrow keys: one step is one patient.");
    place.replaceChildren(
      ...labelled("Whose scores?", chooser), make("div", { class: "stage" }, dots, range), hint,
      make("div", { class: "columns" }, make("div", {}, table, words, about), plot),
    );
    let arm, curve, scale, line, handle, marks, point;

    function choose() {
      arm = data.arms[chooser.value];
      curve = corners(data.y, arm.scores).reverse(); // the threshold rises from left to right, as the axis does
      const low = Math.min(...arm.scores), high = Math.max(...arm.scores), pad = (high - low) * 0.03;
      scale = (score) => 8 + (width - 16) * (Math.min(score, high + pad) - low + pad) / (high - low + 2 * pad);
      drawDots();
      drawCurve();
      range.max = curve.length - 1;
      // To begin with, the threshold that balances both kinds of error.
      range.value = curve.reduce((best, c, i) => (c.hits - c.alarms > curve[best].hits - curve[best].alarms ? i : best), 0);
      const auc = area(curve.slice().reverse());
      const of = arm.repeats > 1 ? `the first of ${arm.repeats} repeats; their mean AUC is ${arm.mean.toFixed(3)}` : "a single repeat";
      about.textContent = `AUC ${auc.toFixed(3)}: ${of}.`;
      place.dataset.auc = auc;
      update();
    }

    function drawDots() {
      dots.replaceChildren();
      dots.setAttribute("viewBox", `0 0 ${width} 158`);
      line = svg("line", { class: "threshold", y1: 2, y2: 132 });
      handle = svg("circle", { class: "handle", r: 9, cy: 132 });
      marks = arm.scores.map((score, i) => {
        const row = data.y[i] ? 38 : 98, spread = ((i * 37) % 23) - 11; // a fixed scatter, so that dots do not hide each other
        const name = `${data.patients[i]}, score ${score.toFixed(2)}`;
        return svg("circle", { cx: scale(score), cy: row + spread, r: 5 }, svg("title", {}, name));
      });
      const n = data.y.filter((label) => label).length;
      dots.append(
        svg("text", { x: 8, y: 14, class: "positive" }, `cluster 2: ${n} patients`),
        svg("text", { x: 8, y: 74, class: "rest" }, `the rest: ${data.y.length - n} patients`),
        ...marks, svg("path", { class: "axis", d: `M8 132H${width - 8}` }),
        svg("text", { x: 8, y: 155 }, "low score"), svg("text", { x: width - 8, y: 155, "text-anchor": "end" }, "high score"), line, handle,
      );
    }

    function drawCurve() {
      const x = (rate) => 310 * rate, y = (rate) => 310 * (1 - rate);
      const path = (points) => "M" + points.map(([alarms, hits]) => `${x(alarms)} ${y(hits)}`).join("L");
      point = svg("circle", { class: "here", r: 7 });
      point.at = (c) => { point.setAttribute("cx", x(c.alarms)); point.setAttribute("cy", y(c.hits)); };
      const ticks = [0, 0.5, 1].flatMap((rate) => [
        svg("text", { x: x(rate), y: 326, "text-anchor": "middle" }, String(rate)),
        svg("text", { x: -6, y: y(rate) + 4, "text-anchor": "end" }, String(rate)),
      ]);
      plot.replaceChildren(
        svg("path", { class: "axis", d: "M0 0V310H310" }), svg("path", { class: "chance", d: "M0 310L310 0" }), ...ticks,
        svg("text", { x: 155, y: 345, "text-anchor": "middle" }, "1 − specificity"),
        svg("text", { x: -32, y: 155, "text-anchor": "middle", transform: "rotate(-90 -32 155)" }, "sensitivity"),
        svg("path", { class: "published", d: path(data.paper.roc) }),
        svg("path", { class: "ours", d: path(curve.map((c) => [c.alarms, c.hits])) }),
        svg("path", { class: "published", d: "M150 262h22" }), svg("text", { x: 178, y: 266 }, `published: ${data.paper.auc.toFixed(3)}`),
        svg("path", { class: "ours", d: "M150 282h22" }),
        svg("text", { x: 178, y: 286, class: "ours" }, `these scores: ${area(curve.slice().reverse()).toFixed(3)}`), point,
      );
    }

    function update() {
      const c = curve[range.value], at = scale(c.threshold);
      line.setAttribute("x1", at);
      line.setAttribute("x2", at);
      handle.setAttribute("cx", at);
      marks.forEach((mark, i) => {
        mark.setAttribute("class", (data.y[i] ? "positive" : "rest") + (arm.scores[i] >= c.threshold ? "" : " below"));
      });
      point.at(c);
      const row = (name, right, wrong, order) => {
        const cells = [make("td", { class: "right" }, String(right)), make("td", {}, String(wrong))];
        return make("tr", {}, make("th", { scope: "row" }, name), ...(order ? cells : cells.reverse()));
      };
      table.replaceChildren(
        make("caption", {}, "Patients"),
        make("tr", {}, make("td"), make("th", { scope: "col" }, "called cluster 2"), make("th", { scope: "col" }, "called the rest")),
        row("cluster 2", c.tp, c.fn, true), row("the rest", c.tn, c.fp, false),
      );
      const threshold = Number.isFinite(c.threshold) ? c.threshold.toFixed(2) : "above all scores";
      words.textContent = `Sensitivity ${percent(c.hits)}, specificity ${percent(1 - c.alarms)}: ${c.fn} of ${c.tp + c.fn} are missed, `
        + `${c.fp} of ${c.fp + c.tn} are false alarms.`;
      range.setAttribute("aria-valuetext", `${threshold}; ${words.textContent}`);
      dots.setAttribute("aria-label", `Scores of all patients, with the threshold at ${threshold}. ${words.textContent}`);
      plot.setAttribute("aria-label", `ROC curves, published and of these scores; the point is at sensitivity ${percent(c.hits)}, `
        + `specificity ${percent(1 - c.alarms)}.`);
      Object.assign(place.dataset, { threshold: c.threshold, tp: c.tp, fp: c.fp, fn: c.fn, tn: c.tn });
    }

    function drag(event) {
      if (event.type === "pointermove" && !event.buttons) return;
      const box = dots.getBoundingClientRect(), at = width * (event.clientX - box.left) / box.width;
      const above = curve.findIndex((c) => scale(c.threshold) >= at);
      range.value = above < 0 ? curve.length - 1 : above;
      update();
    }
    dots.addEventListener("pointerdown", (event) => { dots.setPointerCapture(event.pointerId); range.focus({ preventScroll: true }); drag(event); });
    dots.addEventListener("pointermove", drag);
    chooser.addEventListener("change", choose);
    range.addEventListener("input", update);
    new ResizeObserver(() => {
      if (Math.abs(dots.clientWidth - width) < 1 || !dots.clientWidth) return;
      width = dots.clientWidth;
      const kept = range.value;
      choose();
      range.value = kept;
      update();
    }).observe(place);
    const first = data.arms.findIndex((arm) => arm.primary);
    chooser.value = Math.max(first, 0);
    choose();
  }

  // ---- Every specification

  const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#9a7d00", "#56b4e9", "#8a6fd1", "#808080"];

  function specificationExplorer(place, data) {
    const names = Object.keys(data.choices).filter((name) => name !== "seed" && data.choices[name].levels.length > 1);
    const chooser = make("select", {}, ...names.map((name) => make("option", { value: name }, name)));
    if (names.includes("initialisation")) chooser.value = "initialisation";
    const range = slider("Specification, from the lowest to the highest AUC");
    const n = data.auc.length;
    range.max = n - 1;
    const letter = innerWidth < 700 ? 22 : 12; // in units of the picture, which shrinks on a phone
    const plot = svg("svg", { viewBox: "-48 -10 698 330", role: "img", style: `--letter: ${letter}px` });
    const key = make("ul", { class: "key" }), words = make("p", { "aria-live": "polite" }), list = make("dl");
    place.replaceChildren(...labelled("Colour by", chooser), key, plot, range, words, list);
    const low = Math.min(...data.auc, 0.5), high = Math.max(...data.auc, ...Object.values(data.paper));
    const x = (i) => 600 * (n > 1 ? i / (n - 1) : 0.5), y = (auc) => 290 * (high + 0.01 - auc) / (high - low + 0.02);
    const bar = svg("path", { class: "threshold" }), here = svg("circle", { class: "here", r: 6 });
    const points = data.auc.map((auc, i) => svg("circle", { cx: x(i), cy: y(auc), r: 2.6 }));
    for (let auc = Math.ceil(low * 10) / 10; auc <= high; auc += 0.1) {
      plot.append(svg("text", { x: -8, y: y(auc) + 4, "text-anchor": "end" }, auc.toFixed(1)));
    }
    plot.append(svg("path", { class: "axis", d: `M0 ${y(high)}V290H600` }), svg("path", { class: "chance", d: `M0 ${y(0.5)}H600` }));
    let above = Infinity;
    for (const [name, auc] of Object.entries(data.paper).sort((a, b) => a[1] - b[1])) {
      above = Math.min(y(auc) - 4, above - letter - 1); // names do not overlap
      plot.append(svg("path", { class: "chance", d: `M0 ${y(auc)}H600` }), svg("text", { x: 4, y: above }, `paper, ${name}: ${auc.toFixed(3)}`));
    }
    plot.append(...points, bar, here, svg("text", { x: 300, y: 312, "text-anchor": "middle" }, "specifications, sorted by AUC"));

    function colour() {
      const { levels, at } = data.choices[chooser.value];
      points.forEach((dot, i) => dot.setAttribute("fill", PALETTE[at[i] % PALETTE.length]));
      key.replaceChildren(...levels.map((level, k) =>
        make("li", {}, make("i", { style: `background: ${PALETTE[k % PALETTE.length]}` }), level || "none")));
    }
    function update() {
      const i = Number(range.value), number = (value) => value.toFixed(3);
      here.setAttribute("cx", x(i));
      here.setAttribute("cy", y(data.auc[i]));
      bar.setAttribute("d", `M${x(i)} ${y(data.low[i])}V${y(data.high[i])}`);
      words.textContent = `${i + 1} of ${n}: AUC ${number(data.auc[i])} (${number(data.low[i])}–${number(data.high[i])}), specification ${data.number[i]}`;
      const choices = Object.entries(data.choices).map(([name, choice]) => [name, choice.levels[choice.at[i]] || "none"]);
      list.replaceChildren(...choices.flatMap(([name, level]) => [make("dt", {}, name), make("dd", {}, level)]));
      range.setAttribute("aria-valuetext", `${words.textContent}: ${choices.map((pair) => pair.join(" ")).join(", ")}`);
      plot.setAttribute("aria-label", `AUC of ${n} specifications, sorted. Chosen: ${words.textContent}.`);
      place.dataset.number = data.number[i];
    }
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect(), at = 698 * (event.clientX - box.left) / box.width - 48;
      range.value = Math.round((n - 1) * at / 600);
      update();
    });
    chooser.addEventListener("change", colour);
    range.addEventListener("input", update);
    range.value = Math.floor(n / 2);
    colour();
    update();
  }

  // ---- Where a page asks for one, its data and it are put there.

  const kinds = { threshold: ["explorer", thresholdExplorer], specifications: ["multiverse", specificationExplorer] };
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  for (const place of document.querySelectorAll(".explorer")) {
    const [name, start] = kinds[place.dataset.explorer];
    const script = make("script", { src: `${base}${name}-data.js` });
    script.addEventListener("load", () => start(place, window[`${name}Data`]));
    document.head.append(script);
  }
})();

"use strict";
(() => {
  const { flow } = JSON.parse(document.getElementById("data").textContent);
  const KINDS = ["copied", "computed", "aggregated", "unknown"];
  const MOST = 40; // so many lines of a list are shown
  const FAR = 20000; // so many arrows are walked: a chain of wide steps that do not tell has millions
  const make = (tag, text, more = {}) => Object.assign(document.createElement(tag), { textContent: text, ...more });
  const key = (step, column) => step + ":" + column;

  // Where columns come from: walked up the direct arrows; of several ways, the farthest from a copy counts.
  const parents = (step, column) => {
    const at = flow[step];
    if (at.copies !== undefined) {
      const same = flow[at.copies].columns.indexOf(at.columns[column]);
      return same < 0 ? [] : [[at.copies, same, 0]];
    }
    if (at.reads) return at.reads.flatMap((above) => flow[above].columns.map((_name, index) => [above, index, 3]));
    return at.arrows?.[column] ?? [];
  };
  const walk = (step, column) => {
    const found = new Map([[key(step, column), { step, column, kind: 0 }]]);
    const arrows = [];
    const left = [[step, column]];
    const seen = new Set();
    for (let next = left.shift(); next && arrows.length < FAR; next = left.shift()) {
      const here = found.get(key(...next));
      for (const [above, index, how] of parents(...next)) {
        const name = key(above, index);
        const kind = Math.max(here.kind, how);
        if (!seen.has(name + ">" + key(...next))) {
          seen.add(name + ">" + key(...next));
          arrows.push({ from: [above, index], to: next, how });
        }
        if (!found.has(name) || found.get(name).kind < kind) {
          found.set(name, { step: above, column: index, kind });
          left.push([above, index]);
        }
      }
    }
    const origins = [...found.values()].filter((each) => flow[each.step].source && key(each.step, each.column) !== key(step, column));
    return { origins, arrows, steps: new Set([...found.values()].map((each) => each.step)) };
  };
  const above = (step) => {
    const found = new Set([step]);
    for (const name of found) {
      const at = flow[name];
      for (const next of [...(at.reads ?? []), ...(at.copies === undefined ? [] : [at.copies]), ...(at.inputs ?? [])]) found.add(next);
    }
    return found;
  };
  const deciding = (step) => {
    const found = new Map();
    for (const name of above(step)) {
      for (const [at, column] of flow[name].rows ?? []) {
        const own = flow[at].source ? [{ step: at, column }] : walk(at, column).origins;
        own.forEach((each) => found.set(key(each.step, each.column), each));
      }
    }
    return [...found.values()];
  };
  const link = (step) => make("a", flow[step].label, { href: "#s" + step });
  const list = (items, fill) => {
    const places = make("ul", "");
    for (const item of items.slice(0, MOST)) {
      const place = make("li", "");
      place.append(...fill(item));
      places.append(place);
    }
    if (items.length > MOST) places.append(make("li", "and " + (items.length - MOST) + " more"));
    return places;
  };
  const column = (step, index) => make("code", flow[step].columns[index]);
  const light = (told) => {
    document.querySelectorAll(".lit").forEach((each) => each.classList.remove("lit"));
    if (!told) return;
    told.steps.forEach((step) => document.querySelector(`[data-box="${step}"]`)?.classList.add("lit"));
    told.arrows.forEach(({ from, to }) => document.querySelector(`[data-edge="${from[0]}-${to[0]}"]`)?.classList.add("lit"));
  };
  const describe = (step, index) => {
    const told = walk(step, index);
    const box = make("td", "", { colSpan: 3 });
    if (flow[step].source) {
      const line = make("p", "Read from ");
      line.append(link(step));
      box.append(line);
    } else if (!told.origins.length) box.append(make("p", "Made from no column: it is a constant or counts rows."));
    else {
      box.append(make("p", "Comes from"), list(told.origins, (each) => [column(each.step, each.column), " of ", link(each.step), ", " + KINDS[each.kind]]));
      if (told.arrows.length > told.origins.length) {
        const way = make("details", "");
        way.append(make("summary", "Path"), list(told.arrows, ({ from, to, how }) => [column(...to), ` of ${flow[to[0]].step} is ${KINDS[how]} of `, column(...from), ` of ${flow[from[0]].step}`]));
        box.append(way);
      }
    }
    if (told.arrows.length >= FAR) box.append(make("p", `There are more paths than the ${FAR} that were followed.`));
    const rows = deciding(step);
    if (rows.length) {
      const decided = make("details", "");
      decided.append(make("summary", "Rows are selected by"), list(rows, (each) => [column(each.step, each.column), " of ", link(each.step)]));
      box.append(decided);
    }
    return { box, told };
  };
  const toggle = (button) => {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    const row = button.closest("tr");
    if (open) {
      row.nextElementSibling.remove();
      light(null);
      return;
    }
    const { box, told } = describe(Number(button.dataset.step), Number(button.dataset.column));
    const place = make("tr", "", { className: "came" });
    place.append(box);
    row.after(place);
    light(told);
  };

  // A link to a step opens it.
  const reveal = () => {
    const step = /^#s\d+$/.test(location.hash) && document.querySelector(location.hash);
    if (!step) return;
    step.hidden = false;
    step.open = true;
    step.scrollIntoView();
    step.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.classList.contains("column")) toggle(button);
    else if (button?.dataset.file) download(button);
    else if (event.target.closest(`a[href="${location.hash}"]`)) reveal();
  });

  // Files are inside the page, compressed.
  const download = async (button) => {
    const packed = document.querySelectorAll(".packed")[Number(button.dataset.file)].textContent;
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const address = URL.createObjectURL(await new Response(stream).blob());
    make("a", "", { href: address, download: button.dataset.name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  };

  const show = (...names) => names.forEach((name) => (document.getElementById(name).hidden = false));
  const cards = [...document.querySelectorAll(".step-card")];
  const find = document.getElementById("find");
  find.addEventListener("input", () => {
    const wanted = find.value.trim().toLowerCase();
    cards.forEach((card) => (card.hidden = !card.querySelector("summary").textContent.toLowerCase().includes(wanted)));
    const found = cards.filter((card) => !card.hidden).length;
    document.getElementById("found").textContent = wanted ? `${found} of ${cards.length} steps` : "";
  });
  const openAll = (open) => cards.forEach((card) => (card.open = open && !card.hidden));
  document.getElementById("open-all").addEventListener("click", () => openAll(true));
  document.getElementById("close-all").addEventListener("click", () => openAll(false));
  const packed = document.getElementById("inside-page") ? ["downloads", "inside-page"] : [];
  show(...packed, ...(cards.length > 1 ? ["tools"] : []));

  // What failed is in sight, wherever the drawing has it.
  const drawing = document.querySelector(".drawing");
  const failed = drawing?.querySelector(".step.failed rect") ?? drawing?.querySelector(".step.running rect");
  const width = drawing ? drawing.scrollWidth - drawing.clientWidth : 0;
  if (failed) drawing.scrollTo(failed.x.baseVal.value - drawing.clientWidth / 2 + 100, failed.y.baseVal.value - drawing.clientHeight / 2);
  else if (width > 0) drawing.scrollTo(width / 2, 0);
  reveal();
})();

"use strict";
(() => {
  const { series } = JSON.parse(document.getElementById("data").textContent);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clock = (s) => (s < 120 ? +s.toFixed(1) + " s" : s < 7200 ? +(s / 60).toFixed(1) + " min" : +(s / 3600).toFixed(1) + " h");
  const amount = (v, unit) => {
    for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) if (v >= size) return +(v / size).toFixed(1) + " " + letter + unit;
    return v + (unit ? " " + unit : "");
  };
  const draw = (id, unit, lines) => {
    const place = document.getElementById(id);
    if (!place) return () => {};
    let plot = null;
    const size = () => ({ width: Math.max(place.clientWidth, 120), height: 180 });
    const make = () => {
      plot?.destroy();
      const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
      plot = new uPlot(
        {
          ...size(),
          scales: { x: { time: false }, y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.08 : 1] } },
          legend: { show: false },
          cursor: { drag: { x: false, y: false } },
          axes: [
            { ...axis, values: (_u, marks) => marks.map(clock), space: 70, size: 30, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000, 86400] },
            { ...axis, values: (_u, marks) => marks.map((v) => amount(v, unit)), size: 62 },
          ],
          series: [{}, ...lines.map((line) => ({ stroke: colour(line.colour), width: 2, dash: line.dash, spanGaps: true, fill: line.fill && colour(line.fill), points: { show: false } }))],
        },
        [series.x, ...lines.map((line) => line.values)],
        place,
      );
    };
    make();
    new ResizeObserver(() => plot.setSize(size())).observe(place);
    return make;
  };
  const redraw = [
    draw("rates", "", [{ values: series.read, colour: "--read" }, { values: series.written, colour: "--write", dash: [7, 4] }]),
    draw("memory", "B", [{ values: series.memory, colour: "--transform", fill: "--sunk" }]),
  ];
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw.forEach((make) => make()));
})();

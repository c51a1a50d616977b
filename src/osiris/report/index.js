"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const rows = [...document.querySelectorAll("tbody tr[data-status]")];
  const update = () => {
    const [text, pipeline, status] = [at("find").value.trim().toLowerCase(), at("pipeline").value, at("status").value];
    const fits = (row) =>
      (!pipeline || row.dataset.pipeline === pipeline) && (!status || row.dataset.status === status) && row.textContent.toLowerCase().includes(text);
    rows.forEach((row) => (row.hidden = !fits(row)));
    const found = rows.filter((row) => !row.hidden).length;
    at("found").textContent = found < rows.length ? `${found} of ${rows.length} runs` : "";
  };
  ["find", "pipeline", "status"].forEach((id) => at(id).addEventListener("input", update));
  at("tools").hidden = rows.length < 2;
})();

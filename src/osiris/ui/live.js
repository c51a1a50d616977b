"use strict";
(() => {
  // The server sends the parts that changed; an empty address of a link is that of this page.
  const at = (id) => document.getElementById(id);
  const source = new EventSource(at("live-head").dataset.events);
  source.onmessage = (event) => {
    const { parts, state, ended } = JSON.parse(event.data);
    for (const [id, html] of Object.entries(parts)) at(id).innerHTML = html;
    if (at("live-state").textContent !== state) document.title = at("live-state").textContent = state;
    if (!ended) return;
    source.close();
    at("cancel")?.remove();
  };
})();

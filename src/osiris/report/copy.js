"use strict";
(() => {
  // Each command gets a button that copies it.
  document.querySelectorAll(".command").forEach((command) => {
    const button = Object.assign(document.createElement("button"), { textContent: "Copy", type: "button", className: "button copy no-print" });
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(command);
      try {
        await navigator.clipboard.writeText(command.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected";
      }
    });
    command.after(button);
  });
})();

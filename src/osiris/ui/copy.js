"use strict";
// A button beside each command copies it; where the clipboard is not given, the command is selected.
document.querySelectorAll(".command").forEach((command) => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button copy no-print";
  button.textContent = "Copy";
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

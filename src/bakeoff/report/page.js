"use strict";
// Marks of the charts carry their numbers as aria-labels: show them under the pointer too. Print everything.
const tip = document.getElementById("tip");
document.addEventListener("pointerover", (event) => {
  const mark = event.target.closest(".role-mark [aria-label]");
  tip.hidden = !mark;
  if (!mark) return;
  tip.textContent = mark.getAttribute("aria-label");
  const at = mark.getBoundingClientRect();
  const x = Math.min(Math.max(event.clientX - tip.offsetWidth / 2, 8), document.documentElement.clientWidth - tip.offsetWidth - 8);
  const above = Math.max(at.top, event.clientY - 24) - tip.offsetHeight - 8;
  tip.style.left = `${x}px`;
  tip.style.top = `${above > 8 ? above : event.clientY + 24}px`;
});
document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details:not([open])")) closed.open = true;
});

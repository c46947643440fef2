"use strict";
// One script for all pages: without it everything can still be read, filtered and done.
const $ = (selector, from = document) => from.querySelector(selector);
const $$ = (selector, from = document) => [...from.querySelectorAll(selector)];

// The theme: that of the system, unless somebody chose.
const root = document.documentElement;
const chosen = localStorage.getItem("theme");
if (chosen) root.dataset.theme = chosen;
$("#theme").addEventListener("click", () => {
  const dark = getComputedStyle(root).colorScheme === "dark";
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});

// Times in the reader's zone; they are as wide as before.
const two = (n) => String(n).padStart(2, "0");
function localTimes(from) {
  for (const at of $$("time[datetime]", from)) {
    const t = new Date(at.dateTime);
    if (isNaN(t)) continue;
    at.textContent = `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
  }
}
localTimes(document);
$(".top [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });

// Parts that are fetched again while somebody looks; an answer that is the same is not sent (ETag).
const text = async (url, headers = {}) => {
  const answer = await fetch(url, { headers, cache: "no-store" });
  if (answer.status === 304) return null;
  if (!answer.ok) throw new Error(String(answer.status));
  return [await answer.text(), answer.headers.get("etag")];
};
function busy(part) {
  const focus = document.activeElement;
  return (part.contains(focus) && focus !== part && /^(INPUT|TEXTAREA|SELECT|BUTTON|SUMMARY)$/.test(focus.tagName)) || $("details[open].confirm", part);
}
function follow(part) {
  let url = part.dataset.live, tag = null;
  const every = Number(part.dataset.every) * 1000;
  if (!every) return;
  let wait = every;
  const look = async () => {
    if (!part.isConnected || $("[data-done]", part)) return;
    try {
      if (!document.hidden && !busy(part)) {
        const got = await text(url, tag ? { "If-None-Match": tag } : {});
        if (got) {
          tag = got[1];
          part.innerHTML = got[0];
          localTimes(part);
          const next = $("[data-next]", part);
          if (next) url = next.dataset.next;
        }
      }
      wait = every;
    } catch { wait = Math.min(wait * 2, 60000); }
    setTimeout(look, wait);
  };
  setTimeout(look, every);
}
$$("[data-live]").forEach(follow);

// Parts that take a moment come after the page.
for (const part of $$("[data-load]")) {
  part.setAttribute("aria-busy", "true");
  text(part.dataset.load).then(([body]) => { part.innerHTML = body; localTimes(part); centre(part); }).catch(() => {}).finally(() => { part.removeAttribute("aria-busy"); part.removeAttribute("data-load"); });
}

// A wide picture begins where it is about.
const centre = (from) => $$("[data-centre]", from).forEach((part) => {
  const here = $("[aria-current]", part);
  if (here) part.scrollLeft = here.getBoundingClientRect().left - part.getBoundingClientRect().left - part.clientWidth / 2 + 84;
});
centre(document);

// Rows of runs: those that are running are fetched again, newer ones are counted.
const table = $("table[data-rows]");
if (table) {
  const look = async () => {
    const running = $$("tr[data-running]", table).map((row) => row.dataset.running).slice(0, 100);
    if (!document.hidden) {
      try {
        const url = new URL(table.dataset.rows, location.href);
        for (const id of running) url.searchParams.append("id", id);
        url.searchParams.set("since", table.dataset.since);
        const got = await text(url);
        const part = new DOMParser().parseFromString(got[0], "text/html");
        for (const row of $$("tbody tr", part)) {
          const old = document.getElementById(row.id);
          if (!old || old.contains(document.activeElement)) continue;
          $("input", row).checked = $("input", old).checked;
          localTimes(row);
          old.replaceWith(row);
        }
        const newer = Number($("#newer-rows", part).textContent);
        $("#newer").textContent = newer ? `${newer} newer: ` : "";
        if (newer) {
          const link = Object.assign(document.createElement("a"), { href: location.href, textContent: "show" });
          $("#newer").append(link);
        }
      } catch { /* the next look may do better */ }
    }
    setTimeout(look, running.length ? 4000 : 15000);
  };
  setTimeout(look, 4000);
}

// Forms that answer in place: [data-into] names what their answer replaces.
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-into]");
  if (!form) return;
  event.preventDefault();
  const into = document.getElementById(form.dataset.into), button = event.submitter || $("button", form);
  button.disabled = true;
  into.setAttribute("aria-busy", "true");
  try {
    const body = new URLSearchParams(new FormData(form));
    const to = button.getAttribute("formaction") || form.action, url = form.method === "get" ? `${to}?${body}` : to;
    const answer = await fetch(url, form.method === "get" ? {} : { method: "POST", body });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    into.replaceChildren(...($(`#${form.dataset.into}`, page) || $("main", page) || page.body).childNodes);
    localTimes(into);
    $$("[data-live]", into).forEach(follow);
    if (into.tabIndex === -1 && into.id !== "main") { into.focus({ preventScroll: true }); into.scrollIntoView({ block: "nearest" }); }
    if (form.method === "get") history.replaceState(null, "", url);
    if (answer.ok && "again" in form.dataset) $$("textarea", form).forEach((field) => { field.value = ""; });
  } finally {
    button.disabled = false;
    into.removeAttribute("aria-busy");
  }
});
// Work that only its reader needs ends when the page is left.
addEventListener("pagehide", () => $$("form[data-leave]").forEach((form) => navigator.sendBeacon(form.action, new URLSearchParams(new FormData(form)))));
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-at-once]");
  if (form) form.requestSubmit();
});

// Completion of the filter: the last word, by the fields that runs have.
const filter = $("#filter"), list = $("#complete");
if (filter && list) {
  const known = filter.dataset.keys.split("\n");
  let at = -1;
  const word = () => /[\w.`/-]*$/.exec(filter.value.slice(0, filter.selectionStart))[0];
  const close = () => { list.hidden = true; at = -1; filter.setAttribute("aria-expanded", "false"); filter.removeAttribute("aria-activedescendant"); };
  const take = (key) => {
    const end = filter.selectionStart, start = end - word().length;
    filter.setRangeText(`${key} `, start, end, "end");
    close();
    filter.focus();
  };
  const mark = (to) => {
    const items = $$("li", list);
    at = (to + items.length) % items.length;
    items.forEach((item, place) => item.setAttribute("aria-selected", String(place === at)));
    items[at].scrollIntoView({ block: "nearest" });
    filter.setAttribute("aria-activedescendant", items[at].id);
  };
  filter.addEventListener("input", () => {
    const start = word().toLowerCase();
    const fit = start ? known.filter((key) => key.toLowerCase().includes(start) && key.toLowerCase() !== start).slice(0, 30) : [];
    list.replaceChildren(...fit.map((key, place) => {
      const item = document.createElement("li");
      Object.assign(item, { id: `c-${place}`, textContent: key, role: "option" });
      item.setAttribute("aria-selected", "false");
      item.addEventListener("mousedown", (event) => { event.preventDefault(); take(key); });
      return item;
    }));
    at = -1;
    list.hidden = !fit.length;
    filter.setAttribute("aria-expanded", String(!!fit.length));
  });
  filter.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    if (event.key === "ArrowDown") { event.preventDefault(); mark(at + 1); }
    else if (event.key === "ArrowUp") { event.preventDefault(); mark(at - 1); }
    else if ((event.key === "Enter" || event.key === "Tab") && at >= 0) { event.preventDefault(); take($$("li", list)[at].textContent); }
    else if (event.key === "Escape") { event.stopPropagation(); close(); }
  });
  filter.addEventListener("blur", close);
}

// The keyboard. Single letters count only where nobody writes.
const help = $("#help");
$("#keys").addEventListener("click", () => help.showModal());
let row = -1, going = false;
function step(by) {
  const all = $$(".rows tbody tr");
  if (!all.length) return;
  all[row]?.classList.remove("here");
  row = Math.min(all.length - 1, Math.max(0, row + by));
  all[row].classList.add("here");
  all[row].scrollIntoView({ block: "nearest" });
  $("a, input", all[row])?.focus({ preventScroll: true });
}
const actions = {
  "/": () => $("#filter")?.focus(),
  "?": () => help.showModal(),
  j: () => step(1), k: () => step(-1),
  x: () => { const box = $(".rows tr.here input[type=checkbox]"); if (box) box.checked = !box.checked; },
  c: () => $("#compare")?.click(),
  n: () => $("a[rel=next]")?.click(), p: () => $("a[rel=first]")?.click(),
  g: () => { going = true; setTimeout(() => { going = false; }, 1500); },
  Enter: (event) => { const at = $(".rows tr.here[data-href]"); if (at && event.target.tagName !== "A") location.href = at.dataset.href; else return true; },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "checkbox") {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (going) {
    going = false;
    const page = $(`[data-go="${CSS.escape(event.key)}"]`);
    if (page) { event.preventDefault(); page.click(); return; }
  }
  const key = $(`[data-key="${CSS.escape(event.key)}"]`);
  if (key) { event.preventDefault(); key.click(); return; }
  if (actions[event.key] && actions[event.key](event) !== true) event.preventDefault();
});

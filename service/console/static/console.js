// What the console does with script: live progress, and keys. Everything else works without.

const main = document.querySelector("main");

function typing(target) {
  return target.closest("input, select, textarea, [contenteditable]") !== null;
}

// Live progress: each event has the part of the page that changes fetched again, at most once a second.
function follow(section) {
  const url = section.dataset.live;
  const message = section.querySelector("[data-message]");
  const events = new EventSource(`${url}/events?after=${section.dataset.after}`);
  let waiting = null;

  async function fetchProgress() {
    waiting = null;
    const response = await fetch(`${url}/progress`);
    if (!response.ok || response.redirected) return location.reload();
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("progress");
    if (fresh) document.getElementById("progress").replaceWith(document.adoptNode(fresh));
  }

  function refresh() {
    waiting ??= setTimeout(fetchProgress, 1000);
  }

  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data).state;
    message.textContent = `It is ${state}.`;
    if (["completed", "held", "unchanged", "cancelled", "failed", "deleting"].includes(state)) {
      events.close();
      location.reload();
    } else refresh();
  });
  events.addEventListener("unit", refresh);
  events.addEventListener("progress", (event) => {
    const data = JSON.parse(event.data);
    message.textContent = data.message ?? `${data.stage}: ${data.done} of ${data.total}`;
    refresh();
  });
}

// A grid: the arrows move among its links, as many in a row as there are; with Shift they select from where they began.
let anchor = null;

function linksOf(grid) {
  return [...grid.querySelectorAll("a")];
}

function selected(links) {
  const here = links.indexOf(document.activeElement);
  if (here === -1) return [];
  const from = anchor ?? here;
  return links.slice(Math.min(from, here), Math.max(from, here) + 1);
}

function mark(links) {
  const range = anchor === null ? [] : selected(links);
  for (const link of links) link.classList.toggle("selected", range.includes(link));
}

function arrows(grid, event) {
  const links = linksOf(grid);
  const here = links.indexOf(document.activeElement);
  const top = links[0].getBoundingClientRect().top;
  const next = links.findIndex((link) => link.getBoundingClientRect().top > top + 1);
  const row = next === -1 ? links.length : next;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row };
  if (!(event.key in steps)) return;
  event.preventDefault();
  anchor = event.shiftKey && here !== -1 ? (anchor ?? here) : null;
  links[here === -1 ? 0 : Math.min(Math.max(here + steps[event.key], 0), links.length - 1)].focus();
  mark(links);
}

// In a grid, K, D and U decide about the sample that has the focus, or all that are selected; then the next one has it. U where
// nothing was decided takes back what was decided last. One after another is sent, however fast the keys come.
const words = { keep: "to be kept", drop: "to be dropped", undo: "" };
let last = [];
let sending = Promise.resolve();

async function send(grid, range, decision) {
  let count = 0;
  for (const link of range) {
    const body = new URLSearchParams({ csrf: grid.dataset.token, decision });
    const response = await fetch(`${link.pathname}/verdict`, { method: "POST", body, redirect: "manual" });
    if (response.type !== "opaqueredirect") continue; // nothing to drop, or to undo
    link.querySelector("[data-decided]").textContent = words[decision];
    count += 1;
  }
  main.querySelector("[data-message]").textContent = `${count} ${words[decision] || "not decided any more"}`;
}

function decide(grid, decision) {
  const links = linksOf(grid);
  const undo = decision === "undo";
  let range = selected(links);
  if (undo && !range.some((link) => link.querySelector("[data-decided]").textContent)) range = last;
  if (!range.length || !grid.dataset.token) return;
  const run = () => send(grid, range, decision);
  sending = sending.then(run, run);
  last = undo ? [] : range;
  anchor = null;
  if (undo) range[0].focus();
  else links[links.indexOf(range.at(-1)) + 1]?.focus();
  mark(links);
}

function press(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || typing(event.target)) return;
  const grid = main.querySelector("[data-grid]");
  const verdict = { k: "keep", d: "drop", u: "undo" }[event.key.toLowerCase()];
  if (grid) return verdict ? decide(grid, verdict) : arrows(grid, event);
  const selectors = { ArrowLeft: "a[rel=prev]", ArrowRight: "a[rel=next]", Escape: "a[data-up]" };
  const target = main.querySelector(verdict ? `button[data-verdict=${verdict}]` : (selectors[event.key] ?? "a[data-none]"));
  if (target) {
    event.preventDefault();
    target.click();
  }
}

// Small images are enlarged by whole pixels.
function sharpen(image) {
  const mark = () => image.classList.toggle("pixels", image.naturalWidth > 0 && image.naturalWidth < 128);
  if (image.complete) mark();
  else image.addEventListener("load", mark);
}

// A choice on which other fields depend has the form rendered anew; without script there is a button.
function resubmit(select) {
  select.addEventListener("change", () => select.form.requestSubmit(select.form.querySelector("[data-change]")));
}

// A spec is checked as it is written: what the service finds stands at its field, the spec as YAML beside.
function check(form) {
  let waiting = null;
  let last = 0;

  async function send() {
    const turn = ++last;
    const fields = new URLSearchParams(new FormData(form));
    fields.append("check", "1");
    const response = await fetch(form.action, { method: "POST", body: fields });
    if (turn !== last || response.redirected || ![200, 422].includes(response.status)) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const place of form.querySelectorAll("[data-mistakes], #beside")) {
      const fresh = page.getElementById(place.id);
      if (fresh && touched(place) && !place.contains(document.activeElement)) place.replaceWith(document.adoptNode(fresh));
    }
  }

  // A field that nobody has come to yet is not wrong for being empty.
  function touched(place) {
    const input = document.getElementById(place.dataset.mistakes ?? "");
    return !input || input.value !== "" || input.dataset.touched !== undefined;
  }

  form.addEventListener("input", (event) => {
    event.target.dataset.touched = "";
    clearTimeout(waiting);
    waiting = setTimeout(send, 600);
  });
}

// The map: a line that is drawn around points, or a rectangle that the arrows move, chooses what the grid displays.
const CORNERS = 60; // of a line, at most
const STEP = 25; // of the rectangle, at a press

function lasso(form) {
  const map = form.querySelector("svg");
  const outline = map.querySelector("[data-outline]");
  const side = 1000;
  const box = { left: 400, top: 400, width: 200, height: 200 };
  let line = [];

  function draw(corners) {
    outline.setAttribute("points", corners.join(" "));
  }

  function choose(corners) {
    form.elements.region.value = corners.join(",");
    form.requestSubmit();
  }

  function place(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    return [point.x, point.y].map((value) => Math.round(Math.min(Math.max(value, 0), side)));
  }

  function rectangle() {
    const { left, top, width, height } = box;
    return [[left, top], [left + width, top], [left + width, top + height], [left, top + height]];
  }

  map.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    map.setPointerCapture(event.pointerId);
    line = [place(event)];
  });
  map.addEventListener("pointermove", (event) => {
    if (!line.length) return;
    line.push(place(event));
    draw(line);
  });
  map.addEventListener("pointerup", () => {
    const every = Math.ceil(line.length / CORNERS);
    const corners = line.filter((_, number) => number % every === 0);
    line = [];
    if (corners.length > 2) choose(corners);
  });
  map.addEventListener("pointercancel", () => draw((line = [])));
  map.addEventListener("focus", () => map.matches(":focus-visible") && draw(rectangle()));

  map.addEventListener("keydown", (event) => {
    if (event.key === "Enter") choose(rectangle());
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    for (const [name, size, change] of [["left", "width", step[0]], ["top", "height", step[1]]]) {
      if (event.shiftKey) box[size] = Math.min(Math.max(box[size] + change, STEP), side - box[name]);
      else box[name] = Math.min(Math.max(box[name] + change, 0), side - box[size]);
    }
    draw(rectangle());
    form.querySelector("[data-message]").textContent =
      `From ${box.left} to ${box.left + box.width} across, from ${box.top} to ${box.top + box.height} down.`;
  });
  map.tabIndex = 0;
  map.setAttribute("role", "application");
}

document.addEventListener("keydown", press);
document.querySelectorAll("form[data-check]").forEach(check);
document.querySelectorAll("form[data-lasso]").forEach(lasso);
document.querySelectorAll("[data-live]").forEach(follow);
document.querySelectorAll("main img").forEach(sharpen);
document.querySelectorAll("select[data-resubmit]").forEach(resubmit);

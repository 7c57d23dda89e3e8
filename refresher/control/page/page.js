"use strict";
const EVERY = 4000; // ms between two looks, but
const REST = 10; // times what the last one took: watching must not keep a sidecar busy
const PATIENCE = 8000; // ms until a look counts as unanswered
const PARTS = ["icon", "heading", "alarms", "assets"];
const find = (selector, root = document) => root.querySelector(selector);
const silent = find("#silent");
const dialog = find("dialog");
let token = null; // in this variable, and in no storage
let answered = new Date();
let asking, next;

const inClock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const inDays = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

function localTimes(root) {
  for (const time of root.querySelectorAll("time")) {
    const moment = new Date(time.dateTime);
    const today = moment.toDateString() === new Date().toDateString();
    time.textContent = (today ? inClock : inDays).format(moment);
  }
}

const alike = (one, other) => one.nodeName === other.nodeName && one.id === other.id;

// Changes what differs and nothing else, so that nothing flickers, closes or loses what was typed or chosen.
function become(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else if (!old.hasAttribute("data-keep")) {
    takeAttributes(old, fresh);
    [...fresh.childNodes].forEach((child, at) => {
      const there = old.childNodes[at] ?? null;
      const mine = [...old.childNodes].slice(at).find((each) => alike(each, child));
      if (!mine || mine !== there) old.insertBefore(mine ?? document.importNode(child, true), there);
      if (mine) become(mine, child);
    });
    while (old.childNodes.length > fresh.childNodes.length) old.lastChild.remove();
  }
}

function takeAttributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of old.getAttributeNames()) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
}

function show(page) {
  const focused = document.activeElement;
  localTimes(page);
  document.title = page.title;
  for (const id of PARTS) become(document.getElementById(id), page.getElementById(id));
  if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function heard(heardOf) {
  document.body.classList.toggle("silent", !heardOf);
  silent.hidden = heardOf;
  if (heardOf) answered = new Date();
  const words = `The sidecar has not answered since ${inClock.format(answered)}. Below is how it stood then.`;
  if (!heardOf && silent.textContent !== words) silent.textContent = words;
}

// XMLHttpRequest, because it makes a document of an answer without a parser that this page's policy forbids.
function look() {
  clearTimeout(next);
  if (document.hidden) return;
  const before = asking;
  const request = (asking = new XMLHttpRequest());
  before?.abort(); // what it would show is older
  request.open("GET", `/?${new URLSearchParams([["open", ""], ...opened()])}`);
  request.setRequestHeader("Accept", "text/html");
  request.responseType = "document";
  request.timeout = PATIENCE;
  const began = performance.now();
  request.onloadend = () => request === asking && looked(request, performance.now() - began);
  request.send();
}

function looked({ status, response }, took) {
  const page = status === 200 && response?.getElementById("assets") ? response : null;
  if (page) show(page);
  heard(page !== null);
  next = setTimeout(look, Math.max(EVERY, page ? REST * took : 0));
}

// Only these assets' details are asked for.
function opened() {
  return [...document.querySelectorAll("details[open][data-asset]")].map(({ dataset }) => ["open", dataset.asset]);
}

function askForToken() {
  const input = find("input", dialog);
  dialog.returnValue = input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      resolve(dialog.returnValue === "given" ? input.value.trim() : null);
      input.value = "";
    };
  });
}

async function refresh(button) {
  if (document.body.dataset.token && !token) token = await askForToken();
  if (document.body.dataset.token && !token) return;
  const output = find(".answer", button.closest("article"));
  button.setAttribute("aria-disabled", "true"); // not disabled, which would lose the focus
  output.textContent = "Asked; waiting for how it ends …";
  output.textContent = await outcome(button.dataset.asset);
  button.removeAttribute("aria-disabled");
  look();
}

async function outcome(asset) {
  try {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch(`/refresh/${encodeURIComponent(asset)}`, { method: "POST", headers, redirect: "error" });
    if (answer.status === 401) {
      token = null;
      document.body.dataset.token = "needed"; // a sidecar that was started anew may want what its predecessor didn't
    }
    const { result, error, detail } = await answer.json();
    return [result ?? "Not done", error ?? detail].filter(Boolean).join(": ");
  } catch {
    return "The sidecar did not answer.";
  }
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest("button[data-asset]");
  if (button && button.getAttribute("aria-disabled") !== "true") refresh(button);
});
document.addEventListener("visibilitychange", look);
document.addEventListener("toggle", ({ target }) => target.dataset.asset && target.open && look(), true);
find("form", dialog).addEventListener("submit", (event) => {
  event.preventDefault();
  dialog.close("given");
});
find("button[type=button]", dialog).addEventListener("click", () => dialog.close());
localTimes(document);
next = setTimeout(look, EVERY);

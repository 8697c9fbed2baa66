// The chat page. What a model writes enters the page as text, never as markup.

import { answer, Problem, servedModel } from "./api.js";

const at = (id) => document.getElementById(id);
const STARTERS = {
  chat: ["Hello! How was your day?", "What do you like to do at the weekend?", "Tell me something about a river."],
  text: ["Once upon a time", "The capital of France is", "def main():"],
};

let model = null; // what /v1/models says; null until it is known
let turns = []; // the conversation so far: {role, content}
let running = null; // the AbortController of the answer being made
let leavingOut = false; // the reader agreed to go on without the oldest turns

// ---- building blocks

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(text, act) {
  const made = element("button", "quiet", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

function addTurn(role, label) {
  const item = element("li", `turn ${role}`);
  item.append(element("span", "who", label), element("div", "said"), element("p", "facts"));
  at("turns").append(item);
  at("welcome").hidden = true;
  return item;
}

function addNotice(text, actions) {
  const item = element("li", "notice");
  item.setAttribute("role", "alert");
  item.append(element("p", "", text));
  const row = element("div", "actions");
  row.append(...actions.map(([label, act]) => button(label, () => { item.remove(); act(); })));
  item.append(row);
  at("turns").append(item);
  scrollDown(true);
}

function scrollDown(always) {
  const page = document.scrollingElement;
  const near = page.scrollHeight - page.scrollTop - page.clientHeight < 160;
  if (always || near) page.scrollTop = page.scrollHeight;
}

const key = () => at("api-key").value.trim();
const chats = () => model.towpath.roles.length > 0;

// ---- the model

async function loadModel() {
  try {
    model = await servedModel(key());
  } catch (problem) {
    showProblem(problem, loadModel);
    return;
  }
  const { name, parameters, context_tokens: context, max_new_tokens: most } = model.towpath;
  const size = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(parameters);
  document.title = `${name} · towpath`;
  at("model-name").textContent = name;
  at("model-facts").textContent = `${size} parameters · ${context} tokens of context · checkpoint ${model.id.slice(0, 8)}`;
  at("max-tokens").max = most;
  at("honest").textContent =
    `A language model of ${size} parameters, served from this address. It writes what is likely, not what is true, ` +
    `and it knows nothing of you but this page. What you write is not kept.`;
  at("key-field").hidden = !key();
  showMode();
}

function showMode() {
  if (!chats()) {
    at("welcome-title").textContent = "Begin a text";
    at("text").placeholder = "The beginning of a text";
    at("text-label").textContent = "The beginning of a text";
    at("new-chat").textContent = "Clear";
    at("honest").textContent += " It was not tuned to chat: it goes on with what you begin.";
  }
  at("starters").replaceChildren(
    ...STARTERS[chats() ? "chat" : "text"].map((text) => {
      const item = element("li");
      item.append(button(text, () => { at("text").value = text; send(); }));
      return item;
    }),
  );
}

// ---- one answer

async function send() {
  const content = at("text").value;
  if (!content.trim() || running || !model) return;
  at("text").value = "";
  leavingOut = false;
  fitText();
  if (chats()) {
    addTurn("user", "You").querySelector(".said").textContent = content;
    turns.push({ role: "user", content });
  } else {
    turns = [{ role: "user", content }];
  }
  await reply();
}

async function reply() {
  const item = addTurn("assistant", chats() ? model.towpath.name : "Text");
  const said = item.querySelector(".said");
  if (!chats()) said.append(element("span", "begun", turns[0].content));
  const written = document.createTextNode("");
  said.append(written);
  const facts = { start: performance.now(), finish: "stopped" };
  setRunning(item);
  try {
    for await (const part of answer(...question(), key(), running.signal)) {
      Object.assign(facts, part);
      if (part.text) written.data += part.text;
      scrollDown(false);
    }
  } catch (problem) {
    if (problem.name !== "AbortError") {
      if (!written.data) item.remove();
      facts.finish = "broken off";
      showProblem(problem, reply);
    }
  } finally {
    setRunning(null);
    item.classList.remove("writing");
  }
  finishTurn(item, written.data, facts);
}

function question() {
  const limit = at("max-tokens").valueAsNumber;
  const settings = { model: model.id, temperature: at("temperature").valueAsNumber };
  if (limit >= 1) settings.max_tokens = limit;
  if (chats()) return ["/v1/chat/completions", { ...settings, messages: turns }];
  settings.max_tokens ??= Math.min(200, model.towpath.max_new_tokens);
  return ["/v1/completions", { ...settings, prompt: turns[0].content }];
}

function finishTurn(item, text, facts) {
  if (!item.isConnected) return;
  if (chats() && text) turns.push({ role: "assistant", content: text });
  const seconds = (performance.now() - facts.start) / 1000;
  const parts = [];
  const full = facts.usage?.total_tokens >= model.towpath.context_tokens;
  if (facts.usage) parts.push(`${facts.usage.completion_tokens} tokens in ${seconds.toFixed(1)} s`);
  const endings = {
    length: full ? "cut off: the context is full" : "cut off at the longest answer",
    stopped: "stopped",
    "broken off": "broken off",
  };
  if (endings[facts.finish]) parts.push(endings[facts.finish]);
  if (!text) parts.push("the model had nothing to say");
  if (facts.requestId) parts.push(`request ${facts.requestId.slice(0, 8)}`);
  const line = item.querySelector(".facts");
  line.textContent = parts.join(" · ");
  if (facts.requestId) line.title = `X-Request-Id: ${facts.requestId}`;
  if (facts.usage) at("used").textContent = `${facts.usage.total_tokens} of ${model.towpath.context_tokens} tokens used`;
  at("status").textContent = text;
}

function setRunning(item) {
  running = item ? new AbortController() : null;
  item?.classList.add("writing");
  at("turns").setAttribute("aria-busy", String(item !== null));
  at("send").hidden = item !== null;
  at("stop").hidden = item === null;
  if (item) at("status").textContent = "The model is writing.";
  scrollDown(item !== null);
}

// ---- what can go wrong

function showProblem(problem, again) {
  if (problem.status === 401) {
    at("key-field").hidden = false;
    addNotice("This server asks for an API key.", [["Enter the key", () => at("settings").showPopover()]]);
  } else if (problem.code === "context_length_exceeded" && leavingOut && turns.length > 1) {
    leaveOutOldest(again);
  } else if (problem.code === "context_length_exceeded") {
    const shorten = ["Leave out the oldest turns", () => leaveOutOldest(again)];
    addNotice(problem.message, [...(turns.length > 1 ? [shorten] : []), ["New chat", startOver]]);
  } else if (problem instanceof Problem) {
    addNotice(problem.message, [["Try again", again]]);
  } else {
    addNotice("The server cannot be reached. Is it still running?", [["Try again", again]]);
  }
}

// One exchange at a time, until the rest fits.
function leaveOutOldest(again) {
  leavingOut = true;
  const kept = turns[0].role === "system" ? 1 : 0;
  do turns.splice(kept, 1); while (turns.length > kept + 1 && turns[kept].role !== "user");
  const shown = [...at("turns").querySelectorAll(".turn")];
  shown.slice(0, shown.length - turns.length).forEach((item) => item.classList.add("left-out"));
  again();
}

function startOver() {
  const last = turns.at(-1).content;
  clear();
  at("text").value = last;
  fitText();
}

function clear() {
  running?.abort();
  turns = [];
  at("turns").replaceChildren();
  at("welcome").hidden = false;
  at("used").textContent = "";
  at("text").focus();
}

// ---- keys and buttons

function fitText() {
  const text = at("text");
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight}px`;
}

at("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
at("text").addEventListener("input", fitText);
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
at("stop").addEventListener("click", () => { running?.abort(); at("text").focus(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") running?.abort(); });
at("new-chat").addEventListener("click", clear);
at("temperature").addEventListener("input", () => {
  at("temperature-shown").value = at("temperature").valueAsNumber.toFixed(1);
});
at("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  at("settings").hidePopover();
  at("text").focus();
  if (!model) loadModel();
});

at("text").focus();
loadModel();

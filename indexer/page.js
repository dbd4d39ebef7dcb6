"use strict";
// What a person said on the page in, decisions out. Of each person, by id, `said` holds a name, or
// the label of whoever is the same, and the tracks that show somebody else. Only what is said last
// counts, and the decisions stand in an order in which they can be carried out: splits, then names,
// then merges, each into whoever the person is in the end.
const UID = 0, EPISODE = 1, START = 2, SECONDS = 3, COUNTS = 4;
const folded = text => text.toUpperCase().toLowerCase();
const counted = (count, one) => count + " " + one + (count === 1 ? "" : "s");
const tidy = text => text.replace(/(?:(?![\u200c\u200d])[\p{C}\p{Z}])+/gu, " ").trim();

function labels(data) {
  return new Map([...data.people, ...data.others].map(one => [folded(one.label), one.id]));
}

// Why a name cannot be given to somebody, "" if it can.
function objection(data, person, name) {
  const isLabel = /^person \p{Nd}+$/iu.test(name);
  return isLabel && !labels(data).has(folded(name)) ? "There is no " + name + " in the library." : "";
}

// Who is whom in the end: the id of each person → that of whoever they are, and the new names.
function whole(data, said) {
  const known = labels(data), first = new Map(), into = new Map(), names = new Map();
  const root = id => { while (into.has(id)) id = into.get(id); return id; };
  for (const one of data.people) {
    const name = one.named ? "" : (said[one.id] || {}).name || "";
    if (!name) continue;
    const other = known.get(folded(name)) ?? first.get(folded(name));
    if (other === undefined) {
      first.set(folded(name), one.id);
      names.set(one.id, name);
    } else if (root(other) !== one.id) into.set(one.id, other);  // else they are one already
  }
  return { root, names };
}

function settle(data, said) {
  const { root, names } = whole(data, said);
  const label = new Map([...data.people, ...data.others].map(one => [one.id, one.label]));
  const splits = [], called = [], merges = [], named = new Set(), groups = new Map();
  const others = new Set(data.others.map(one => one.id));
  let seconds = 0;
  const has = new Set(data.people.filter(one => one.named).map(one => one.id));
  for (const one of data.people) {
    const wrong = new Set((said[one.id] || {}).wrong || []), end = root(one.id);
    if (wrong.size) splits.push({ do: "split", person: one.label, tracks: [...wrong] });
    if (names.has(one.id)) called.push({ do: "name", person: one.label, as: names.get(one.id) });
    if (end !== one.id) merges.push({ do: "merge", person: one.label, into: label.get(end) });
    if (has.has(end) || others.has(end) || names.has(end)) {
      named.add(one.id);
      seconds += one.seconds;
      one.tracks.forEach(track => { if (wrong.has(track[UID]) && track[COUNTS]) seconds -= track[SECONDS]; });
    }
    if (!groups.has(end)) groups.set(end, []);
    groups.get(end).push([one, one.tracks.filter(track => !wrong.has(track[UID]))]);
  }
  const total = data.people.reduce((sum, one) => sum + one.seconds, 0) || 1;
  const decisions = [...splits, ...called, ...merges];
  const people = {};
  for (const d of decisions) for (const who of [d.person, d.into]) {
    if (who !== undefined) people[who] = labels(data).get(folded(who));
  }
  return { file: { schema: "decisions/1", people, decisions }, named, share: seconds / total, meeting: meeting(groups) };
}

// Two tracks of people who are said to be one that are on screen together, null if there are none.
function meeting(groups) {
  for (const group of groups.values()) {
    if (group.length < 2) continue;
    const all = group.flatMap(([one, tracks]) => tracks.map(track => [track, one]));
    all.sort(([a], [b]) => a[EPISODE] - b[EPISODE] || a[START] - b[START]);
    for (const [place, now] of all.entries()) {
      for (const later of all.slice(place + 1)) {
        if (later[0][EPISODE] !== now[0][EPISODE] || later[0][START] >= end(now[0])) break;
        if (now[1] !== later[1] && together(now[0], later[0])) return [now, later];
      }
    }
  }
  return null;
}

const end = track => track[START] + track[SECONDS];

// Whether of two tracks the one that begins first is of somebody else than the other: as the
// indexer's `affinity.cooccurring`.
function together(one, later) {
  const shared = Math.min(end(one), end(later)) - later[START];
  return shared > Math.min(0.3, (Math.max(end(one), end(later)) - one[START]) / 2) + 1e-6;
}

function clock(seconds) {
  const rest = (seconds % 60).toFixed(1).padStart(4, "0"), minutes = Math.floor(seconds / 60);
  return Math.floor(minutes / 60) + ":" + String(minutes % 60).padStart(2, "0") + ":" + rest;
}

function element(tag, text, parent) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function begin(data) {
  const at = id => document.getElementById(id);
  const where = track => data.episodes[track[EPISODE]] + " " + clock(track[START]);
  const total = data.people.reduce((sum, one) => sum + one.seconds, 0) || 1;
  const label = new Map([...data.people, ...data.others].map(one => [one.id, one.label]));
  const past = [];
  let said = {};

  // Say something of a person, unless it cannot be.
  function say(one, change) {
    const next = { ...said, [one.id]: { name: "", wrong: [], ...said[one.id], ...change } };
    let problem = objection(data, one, next[one.id].name);
    const met = settle(data, next).meeting;
    if (met) {
      problem = met[0][1].label + " and " + met[1][1].label + " are on screen together at " + where(met[1][0]) +
        ", so they are two people, unless one of the two pictures there is marked as somebody else.";
    }
    if (!problem) { past.push(said); said = next; }
    show();
    const told = document.querySelector("#p" + one.id + " .told");
    if (problem) { told.textContent = problem; told.classList.add("problem"); }
  }
  function mark(one, uid) {
    const wrong = new Set((said[one.id] || {}).wrong || []);
    if (!wrong.delete(uid)) wrong.add(uid);
    say(one, { wrong: [...wrong] });
  }
  function show() {
    const { file, named, share } = settle(data, said);
    at("share").textContent = (100 * share).toFixed(1) + " % of the screen time is named";
    at("meter").value = share;
    const next = data.people.find(one => !named.has(one.id));
    at("next").textContent = next ? "next: " + next.label + ", +" + (100 * next.seconds / total).toFixed(1) + " %" : "everybody has a name";
    at("out").value = JSON.stringify(file, null, 1);
    at("undo").disabled = !past.length;
    const names = new Map([...data.people, ...data.others].filter(one => one.named !== false).map(one => [folded(one.label), one.label]));
    data.people.forEach(one => {
      const { name = "", wrong = [] } = said[one.id] || {};
      if (name && !names.has(folded(name))) names.set(folded(name), name);
      if (one.shown) look(one, name, wrong, named);
    });
    at("names").replaceChildren();
    names.forEach(name => { element("option", "", at("names")).value = name; });
  }
  function look(one, name, wrong, named) {
    const section = at("p" + one.id), told = section.querySelector(".told");
    section.classList.toggle("done", Boolean(name || wrong.length) || (named.has(one.id) && !one.named));
    told.classList.remove("problem");
    const parts = [];
    if (name) parts.push("is " + name);
    if (wrong.length) parts.push(counted(wrong.length, "track") + (wrong.length === 1 ? " shows" : " show") + " somebody else");
    told.textContent = parts.join("; ");
    const input = section.querySelector("input");
    if (input && document.activeElement !== input) input.value = name;
    section.querySelectorAll("figure").forEach(f => f.classList.toggle("wrong", wrong.includes(Number(f.dataset.track))));
  }
  function figure(one, track, parent) {
    const made = element("figure", "", parent), data64 = data.pictures[track[UID]];
    made.dataset.track = track[UID];
    made.title = "track " + track[UID] + ", " + where(track) + ", " + track[SECONDS].toFixed(1) + " s";
    if (data64) element("img", "", made).src = "data:image/jpeg;base64," + data64;
    else made.classList.add("bare");
    element("figcaption", data64 ? clock(track[START]) : where(track), made);
    made.onclick = () => mark(one, track[UID]);
  }
  function section(one) {
    const made = element("section", "", at("people"));
    made.id = "p" + one.id;
    const title = element("h2", one.label + " ", made);
    element("small", one.seconds.toFixed(1) + " s, " + counted(one.count, "track") + ", " + counted(one.episodes, "episode"), title);
    one.tracks.slice(0, one.faces).forEach(track => figure(one, track, made));
    if (one.tracks.length > one.faces) {
      const more = element("details", "", made);
      element("summary", "other tracks: " + (one.tracks.length - one.faces), more);
      more.ontoggle = () => {
        more.ontoggle = null;
        one.tracks.slice(one.faces).forEach(track => figure(one, track, more));
        show();
      };
    }
    if (!one.named) {
      const form = element("form", "", made), input = element("input", "", form);
      input.placeholder = "name";
      input.setAttribute("list", "names");
      element("button", "Set name", form);
      form.onsubmit = event => { event.preventDefault(); input.blur(); say(one, { name: tidy(input.value) }); };
      one.like.forEach(id => {
        const button = element("button", "Same as " + label.get(id), form);
        button.type = "button";
        button.onclick = () => say(one, { name: label.get(id) });
      });
    }
    element("p", "", made).className = "told";
  }
  data.people.filter(one => one.shown).forEach(section);
  at("undo").onclick = () => { said = past.pop() || said; show(); };
  at("save").onclick = () => {
    const link = element("a");
    link.href = URL.createObjectURL(new Blob([at("out").value], { type: "application/json" }));
    link.download = "decisions.json";
    link.click();
  };
  at("words").textContent = data.words;
  draw(at("curve"), data.steps);
  show();
}

// The share of the screen time that is named over the names given, with its axes.
function draw(svg, steps) {
  const left = 60, right = 620, top = 12, bottom = 200, most = Math.max(steps.length - 1, 1);
  const x = count => left + (right - left) * count / most, y = share => bottom - (bottom - top) * share;
  const add = (tag, attributes, text) => {
    const made = document.createElementNS(svg.namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    svg.append(made);
  };
  const power = 10 ** Math.floor(Math.log10(most)), step = [0.1, 0.2, 0.5, 1].map(part => part * power).find(part => part >= 1 && most / part <= 10) || power;
  for (let count = 0; count <= most; count += step) {
    add("line", { x1: x(count), x2: x(count), y1: bottom, y2: bottom + 5, stroke: "#666" });
    add("text", { x: x(count), y: bottom + 19, "text-anchor": "middle" }, count);
  }
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    add("line", { x1: left - 5, x2: right, y1: y(share), y2: y(share), stroke: "#ddd" });
    add("text", { x: left - 9, y: y(share) + 4, "text-anchor": "end" }, 100 * share + " %");
  }
  add("path", { d: "M" + left + " " + top + "V" + bottom + "H" + right, stroke: "#666", fill: "none" });
  add("text", { x: (left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, "people named, longest on screen first");
  add("text", { x: 0, y: 0, transform: "translate(13 " + (top + bottom) / 2 + ") rotate(-90)", "text-anchor": "middle" }, "screen time with a name");
  const points = steps.map((one, count) => x(count) + "," + y(one.share)).join(" ");
  add("polyline", { points, fill: "none", stroke: "#07c", "stroke-width": 2 });
}

if (typeof document !== "undefined") begin(JSON.parse(document.getElementById("data").textContent));
else module.exports = { settle, objection, tidy };
